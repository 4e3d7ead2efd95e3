/*
 * core/models-inside.h - what models.c (who asks for what) and models-run.c (what then happens)
 * share. [main] throughout, but asks.
 */
#ifndef WEIR_CORE_MODELS_INSIDE_H
#define WEIR_CORE_MODELS_INSIDE_H

#include <pthread.h>

#include "gateway.h"
#include "instance.h"
#include "models.h"

/* A slot and the instance that it has, or will have. */
struct weir_tenure {
	struct weir_slot *slot; /* one reference; NULL: none */
	struct weir_part *part; /* NULL: none */
	int64_t since_us;       /* when the load began; once leaving: when requests are cancelled */
	bool loading, evacuated, cancelled, given_up; /* given_up: lost, and it stays so */
};

/* A [backend.NAME] section. */
struct weir_place {
	const char *section; /* interned */
	struct weir_profile_part *plan;
	struct weir_tenure now;           /* its slot is in the router's table */
	struct weir_tenure next;          /* loads beside it, to take its place */
	struct weir_profile_part *coming; /* next's plan */
	bool wanted;                      /* will be loaded as soon as it can be */
	int64_t ready_ns;
	/* models-lost.c: when it was lost, the earliest first; not loaded before due_us. */
	int64_t lost_us[3], due_us;
	unsigned n_lost;
	bool recovers; /* lost, and not ready since */
	const struct weir_slot
		*stays_lost; /* this one is not loaded again; compared as a pointer */
};

struct weir_leaver {
	const char *section;
	struct weir_tenure tenure;
};

struct weir_wish {     /* of a frontend: all the backends of a model */
	size_t n_left; /* asks that have no answer yet */
	bool several;
	void (*done)(void *data, const struct weir_model_result *);
	void *data;
	/* What is to be told; of several answers the one that is farthest from what was wished. */
	weir_status status;
	const char *section; /* NULL: no answer yet */
	enum weir_router_state state;
	char text[512];
};

struct weir_ask {             /* of one backend */
	const char *section;  /* interned */
	const char *instance; /* of the host that asks, compared as a pointer */
	uint32_t change;      /* enum weir_model_change, without the flag */
	bool wait;
	struct weir_wish *wish;
};

struct weir_models {
	struct weir_models_options options;
	pthread_mutex_t lock;
	GQueue asks;        /* lock; struct weir_ask */
	bool draining;      /* lock, for those who ask */
	GPtrArray *places;  /* in profile order */
	GPtrArray *leavers; /* struct weir_leaver */
	GPtrArray *waiters; /* struct weir_ask */
};

/* models.c */
struct weir_place *weir_models_find(const struct weir_models *, const char *section);

/* models-run.c */
struct weir_slot *weir_place_slot(struct weir_models *, const struct weir_profile_part *plan);
void weir_place_want(struct weir_models *, struct weir_place *);
/* An empty slot takes the table's place; what was there leaves. False: only_idle, and it is not. */
bool weir_place_renew(struct weir_models *, struct weir_place *, bool only_idle);
void weir_models_leave(struct weir_models *, const char *section, struct weir_tenure *);
/* Loads another instance beside the one that serves. Takes the plan. */
void weir_place_load_beside(struct weir_models *, struct weir_place *, struct weir_profile_part *);
/* adopt: its plan is the place's from now on. */
void weir_place_drop_beside(struct weir_models *, struct weir_place *, bool adopt);
/* Has an instance of the section not ended yet? NULL: of any. */
bool weir_models_leaving(const struct weir_models *, const char *section);
/* models-lost.c */
/* A backend that was lost while it served is loaded again, unless that has happened too often. */
void weir_place_check_lost(struct weir_models *, struct weir_place *);
/* The load of one that was lost has failed. True: it is tried again. */
bool weir_place_try_again(struct weir_models *, struct weir_place *);
/* Requests that outlast drain_timeout go on in what serves now. False: they are to be cancelled. */
bool weir_models_carry_over(struct weir_models *, struct weir_leaver *);

/* What is due; whether it must be called again soon. *ret_due_ms: else when, or -1. */
bool weir_models_run(struct weir_models *, int *ret_due_ms);

#endif
