/* SPDX-License-Identifier: MIT */
/*
 * team.h - the host threads of the Vulkan device: sampling and other host work of a step.
 *
 * Between jobs its threads sleep: a step waits for the device most of the time, and on a software
 * renderer the cores are the device. Needs nothing of Vulkan. weir_vk_team_each() is for one caller
 * at a time.
 */
#ifndef WEIR_VULKAN_TEAM_H
#define WEIR_VULKAN_TEAM_H

#include <weir/base.h>

struct weir_vk_team;

/* n threads with the caller, 1..64; 0: as many as this process may use cores, at most 8. Fewer
 * where the system gives no more. NULL: no memory. [main] */
struct weir_vk_team *weir_vk_team_new(uint32_t n);
/* Joins the threads; NULL: nothing. Not while a job runs. [main] */
void weir_vk_team_free(struct weir_vk_team *team);
uint32_t weir_vk_team_size(const struct weir_vk_team *team);
/* fn(data, i) once for each i < n; returns when all are done. What fn wrote is visible then. [step]
 */
void weir_vk_team_each(struct weir_vk_team *team, uint32_t n, void (*fn)(void *data, uint32_t i),
		       void *data);

#endif
