/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <sys/types.h>

#include "reply.h"

struct daemon;

/*
 * The radar: which open views of a repository work on the same, kept up to date in proportion to what changes. What
 * comes to light for the first time is told to both agents, once.
 */
struct radar;

/* Looks by itself every `radar: {every: SECONDS}` of the configuration. Errors: -ENOMEM, -errno. */
int radar_new(struct daemon *d, struct radar **ret);
void radar_free(struct radar *r);

/* The configuration was read again. */
void radar_reconfigure(struct radar *r);

/* Brings a repository (common git folder) up to date, then calls fn once: 0, or the fault says why not. */
typedef void (*radar_fn)(struct fault *f, void *user);
void radar_look(struct radar *r, const char *repository, radar_fn fn, void *user);

/* What was found last in a repository (NULL: in all) between views that the user may use, with that agent (NULL: any):
 * array of type Overlap, the worst first. */
json_t *radar_overlaps(struct radar *r, const char *repository, const char *agent, uid_t uid);

/* The same of one view as sentences, what is worth telling, as far as it was found already. */
struct view;
void radar_notes(struct radar *r, const struct view *v, json_t *notes);
