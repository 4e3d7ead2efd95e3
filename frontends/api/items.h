/*
 * frontends/api/items.h - an answer as a list of items: texts, thoughts and function calls, one
 * behind the other. Responses and Messages are made of such; chats are not. [loop]
 *
 * The text of all items lies in the choice's buffer, so that its size is watched like that of any
 * answer. One item is open at most, the last one.
 */
#ifndef API_ITEMS_H
#define API_ITEMS_H

#include "call.h"

enum api_item_type { API_ITEM_TEXT, API_ITEM_REASONING, API_ITEM_CALL, API_N_ITEM_TYPES };

struct api_item {
	enum api_item_type type;
	uint32_t index; /* in the list */
	char id[40];
	size_t start, len;    /* in the choice's text; a call's are its arguments */
	char *name, *call_id; /* of a call */
	int64_t tool;         /* its index among the backend's calls */
	/* A text's log-probabilities, in the choice's lp[0]; those of the piece that added() is
	 * called for are from lp_piece on. */
	size_t lp_start, lp_len, lp_piece;
	bool closed;
};

/* How a format says what happens; each may be NULL. Static. */
struct api_item_sink {
	void (*opened)(struct api_call *, const struct api_choice *, const struct api_item *);
	void (*added)(struct api_call *, const struct api_item *, const char *text, size_t n);
	void (*closed)(struct api_call *, const struct api_choice *, const struct api_item *);
};

struct api_items {
	const struct api_item_sink *sink;       /* NULL: nobody listens */
	const char *prefixes[API_N_ITEM_TYPES]; /* of the items' ids */
	GPtrArray *list;                        /* struct api_item */
	bool logprobs;                          /* keep those of texts */
};

void api_items_init(struct api_items *, const struct api_item_sink *);
void api_items_clear(struct api_items *);
/* An event of API_EVENTS_TEXT. */
void api_items_take(struct api_call *, struct api_items *, struct api_choice *,
		    const struct weir_event *);
void api_items_close(struct api_call *, struct api_items *, struct api_choice *);
/* The item's log-probabilities, and those of its last piece: entries with commas between. */
void api_item_put_logprobs(struct buf *, const struct api_choice *, const struct api_item *,
			   bool only_piece);
/* The item's text as a JSON string. */
void api_item_put_text(struct buf *, const struct api_choice *, const struct api_item *);

#endif
