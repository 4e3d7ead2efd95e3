/*
 * core/guess.h - guesses of a sequence's next tokens, by prompt lookup, and whether they pay.
 *
 * A guesser knows one sequence's tokens: where the last three of them stood before, what followed
 * there is the guess (prompt lookup decoding: Saxena 2023; LLMA: Yang et al. 2023). It keeps hash
 * chains of all runs of three, as deflate does, and takes the place that agrees longest.
 *
 * A pace knows what a step costs: seconds = a + b * tokens, fitted to the steps that have been.
 * Guesses are worth their b as long as they come true often enough.
 *
 * The text does not depend on any of this: see weir_row.n_draft. Only the scheduler's thread calls.
 */
#ifndef WEIR_CORE_GUESS_H
#define WEIR_CORE_GUESS_H

#include <stdint.h>

struct weir_guesser;

struct weir_guesser *weir_guesser_new(void);
void weir_guesser_free(struct weir_guesser *); /* NULL: nothing */
/* Up to want guesses of what follows tokens[0 .. n). The tokens of an earlier call must begin this
 * one's. Returns how many there are. */
uint32_t weir_guesser_find(struct weir_guesser *, const int32_t *tokens, uint32_t n, uint32_t want,
			   int32_t *ret);
/* Of n guesses, `right` came true. */
void weir_guesser_learn(struct weir_guesser *, uint32_t n, uint32_t right);
/* How many guesses pay, of at most `most`, when one costs `price` of what a token costs: so many
 * that the last one still comes true more often than that. */
uint32_t weir_guesser_worth(struct weir_guesser *, double price, uint32_t most);

struct weir_pace {
	double n, tokens, tokens2, seconds, both; /* sums that fade */
};

/* A step of so many tokens in which every row drew. */
void weir_pace_observe(struct weir_pace *, uint32_t tokens, double seconds);
/* Seconds that each of `rows` tokens of a step takes; 0: not known yet. */
double weir_pace_token(const struct weir_pace *, uint32_t rows);
/* What one token more costs in a step of `rows` tokens, as a share of what a token costs there. */
double weir_pace_price(const struct weir_pace *, uint32_t rows);

#endif
