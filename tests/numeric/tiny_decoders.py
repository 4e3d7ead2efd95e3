"""The small models of tiny_llama.py and its like, as models of embeddings."""
import torch

from tiny_encoders import CLS, LAST, MEAN
from tiny_families import FAMILIES
from tiny_more import MORE


def decoder(name, arch="llama", pooling=MEAN, ends=False, **args):
    """One of the logits test's models whose file asks for a pooling. None: it does not say; then
    ends, whether its texts end with an end token, decides."""
    base = {**FAMILIES, **MORE}[arch]

    class Decoder(base):
        def more_keys(self, writer):
            super().more_keys(writer)
            if pooling is not None:
                writer.add_uint32(self.arch + ".pooling_type", pooling)
            if ends:
                writer.add_add_eos_token(True)

        def vector_of(self, model, text):
            padded = text + [0] * (self.least_length - len(text))
            with torch.no_grad():
                hidden = model.base_model(torch.tensor([padded])).last_hidden_state[0].double()
            hidden = hidden[:len(text)]
            kind = pooling or (LAST if ends else MEAN)
            row = {MEAN: hidden.mean(0), CLS: hidden[0], LAST: hidden[-1]}[kind]
            return row / row.norm()

    return Decoder(name, **args)
