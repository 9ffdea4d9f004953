/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view's policy text, and the files that tell its server, workers and people what it is:
 * STATE/views/<agent>/view.conf (viewconf.h) and view.json, each replaced atomically.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "image.h"
#include "io.h"
#include "odb.h"
#include "op.h"
#include "sys.h"
#include "verify_scratch.h"
#include "viewconf.h"

/* `.agentfs.yaml` of the base, whose author is anyone who may commit: it only narrows. 1: there. */
static int read_narrow(struct daemon *d, const struct view_row *row, struct config *ret,
		       struct fault *f)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	_cleanup_close_ int dir = openat(d->state_fd, "images", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *objects = NULL;
	_cleanup_free_ void *text = NULL;
	struct image *img = NULL;
	struct odb *odb = NULL;
	enum odb_type type;
	size_t n;
	int64_t at;
	int r = dir < 0 ? -errno : image_open(dir, row->image, &img, &e);

	if (r < 0)
		return fault_from_err(f, &e, "cannot read the base image");
	at = image_lookup(img, 0, ".agentfs.yaml", strlen(".agentfs.yaml"));
	if (at >= 0 && asprintf(&objects, "%s/objects", row->repository) < 0)
		objects = NULL;
	if (objects)
		r = odb_open(objects, &odb, &e);
	if (objects && r == 0)
		r = odb_read(odb, image_node(img, (uint32_t)at)->oid, &type, &text, &n);
	if (objects && r == 0)
		r = config_parse_narrow(text, n, ".agentfs.yaml", ret, &e);
	odb_close(odb);
	image_close(img);
	if (r < 0) {
		if (!e.code)
			(void)err_set(&e, r, "cannot read '.agentfs.yaml' of the base");
		return fault_from_err(f, &e, NULL);
	}
	return objects != NULL;
}

static size_t split_scope(char *text, const char **out, size_t max)
{
	char *save, *tok;
	size_t n = 0;

	for (tok = strtok_r(text, "\n", &save); tok && n < max; tok = strtok_r(NULL, "\n", &save))
		out[n++] = tok;
	return n;
}

int make_policy(struct daemon *d, const struct view_row *row, char **ret, struct fault *f)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	_cleanup_free_ char *scope = sys_strdup(row->scope);
	const char *repo = *row->worktree     ? row->worktree
			   : *row->repository ? row->repository
					      : row->asked_repository;
	const char *scopes[1024];
	struct config narrow;
	size_t n;
	int r, have = 0;

	if (!scope)
		return fault_set(f, "Internal", "the daemon has no memory for this");
	if (scratch_is(row->agent))
		return config_policy_scratch(&d->config, repo, ret, &e) < 0
			       ? fault_from_err(f, &e, NULL)
			       : 0;
	if (*row->image) {
		have = read_narrow(d, row, &narrow, f);
		if (have < 0)
			return have;
	}
	n = split_scope(scope, scopes, ARRAY_SIZE(scopes));
	r = config_policy_text(&d->config, repo, row->role, scopes, n,
			       *row->department ? row->department : NULL, have ? &narrow : NULL,
			       ret, &e);
	if (have)
		config_release(&narrow);
	return r < 0 ? fault_from_err(f, &e, NULL) : 0;
}

static int hex_id(const char *hex, uint8_t out[16])
{
	for (size_t i = 0; i < 16; i++) {
		unsigned byte;

		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return -EINVAL;
		out[i] = (uint8_t)byte;
	}
	return 0;
}

/* The untracked files that it shows; absent where there are none. */
static int fill_seed_paths(json_t *made, struct viewconf *c)
{
	json_t *paths = json_object_get(made, "seed_paths"), *p;
	size_t i;

	if (!json_array_size(paths))
		return 0;
	c->seed_from = (char *)json_string_value(json_object_get(made, "seed_from"));
	c->seed_paths = sys_calloc(json_array_size(paths), sizeof(*c->seed_paths));
	if (!c->seed_paths)
		return -ENOMEM;
	json_array_foreach (paths, i, p)
		if (json_is_string(p))
			c->seed_paths[c->nseed_paths++] = (char *)json_string_value(p);
	return 0;
}

/* Borrows from row and made, all but the arrays of seeds and paths themselves. */
static int fill_conf(const struct view_row *row, const char *policy, json_t *made,
		     struct viewconf *c)
{
	const char *objects = json_string_value(json_object_get(made, "objects"));
	json_t *seeds = json_object_get(made, "seeds");
	json_t *s;
	size_t i;

	*c = (struct viewconf){
		.agent = row->agent,
		.task = row->task,
		.role = row->role,
		.department = row->department,
		.branch = row->branch,
		.target = row->target,
		.repository = row->repository,
		.objects = (char *)objects,
		.base_commit = row->base,
		.tree = row->tree,
		.image = row->image,
		.index = row->index,
		.mount = row->mount,
		.policy = (char *)policy,
		.uid = row->uid,
		.gid = row->gid,
		.created = row->created,
	};
	c->seeds = sys_calloc(json_array_size(seeds) + 1, sizeof(*c->seeds));
	if (!c->seeds || hex_id(row->id, c->view_id) < 0)
		return -ENOMEM;
	json_array_foreach (seeds, i, s) {
		struct viewconf_seed *to = &c->seeds[c->nseeds++];
		json_t *data = json_object_get(s, "data");

		to->path = (char *)json_string_value(json_object_get(s, "path"));
		to->mode = (uint32_t)json_integer_value(json_object_get(s, "mode"));
		to->data = (char *)(json_is_string(data) ? json_string_value(data) : "");
		to->len = json_is_string(data) ? json_string_length(data) : 0;
		if (!to->path)
			return -EBADMSG;
	}
	return fill_seed_paths(made, c);
}

static int write_json(int dir, const struct view *v)
{
	json_t *o = view_json(v);
	_cleanup_free_ char *text = o ? json_dumps(o, JSON_INDENT(2)) : NULL;
	int r = text ? io_replace_file(dir, "view.json", text, strlen(text), 0600) : -ENOMEM;

	json_decref(o);
	return r;
}

static int open_view_dir(struct daemon *d, const struct view *v)
{
	char name[512];
	int fd, r;

	(void)snprintf(name, sizeof(name), "views/%s", v->row.agent);
	r = io_mkdir(d->state_fd, name, 0700);
	if (r < 0 && r != -EEXIST)
		return r;
	fd = openat(d->state_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int view_files_write(struct daemon *d, struct view *v, json_t *made, struct fault *f)
{
	_cleanup_free_ char *policy = NULL;
	_cleanup_close_ int dir = -1;
	struct viewconf conf;
	int r = make_policy(d, &v->row, &policy, f);

	if (r < 0)
		return r;
	dir = open_view_dir(d, v);
	r = dir < 0 ? dir : fill_conf(&v->row, policy, made, &conf);
	if (dir >= 0) {
		if (r == 0)
			r = viewconf_write(dir, &conf);
		free(conf.seeds);
		free(conf.seed_paths);
	}
	if (r == 0)
		r = write_json(dir, v);
	return r < 0 ? fault_set(f, fault_id(r), "cannot write the files of view '%s': %s",
				 v->row.agent, strerror(-r))
		     : 0;
}

int view_files_update(struct daemon *d, struct view *v, const char *policy, struct fault *f)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	_cleanup_close_ int dir = open_view_dir(d, v);
	struct viewconf conf = {0};
	/* image and index stay: they are what the journal begins with */
	char **const fields[] = {&conf.task, &conf.branch, &conf.base_commit,
				 &conf.tree, &conf.target, &conf.policy};
	const char *const values[] = {v->row.task, v->row.branch, v->row.base,
				      v->row.tree, v->row.target, policy};
	int r = dir < 0 ? dir : viewconf_read(dir, &conf, &e);

	for (size_t i = 0; i < ARRAY_SIZE(fields) && r == 0; i++)
		if (values[i])
			r = view_row_set(fields[i], values[i]);
	if (r == 0)
		r = viewconf_write(dir, &conf);
	if (r == 0)
		r = write_json(dir, v);
	viewconf_release(&conf);
	return r < 0 ? fault_set(f, fault_id(r), "cannot write the files of view '%s': %s",
				 v->row.agent, e.text ? e.text : strerror(-r))
		     : 0;
}

int view_policy_update(struct daemon *d, struct view *v, const char *policy, struct fault *f)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	_cleanup_close_ int dir = open_view_dir(d, v);
	struct viewconf conf = {0};
	int r = dir < 0 ? dir : viewconf_read(dir, &conf, &e);

	if (r == 0 && strcmp(conf.policy, policy) != 0) {
		r = view_row_set(&conf.policy, policy);
		if (r == 0)
			r = viewconf_write(dir, &conf);
		r = r < 0 ? r : 1;
	}
	viewconf_release(&conf);
	return r < 0 ? fault_set(f, fault_id(r), "cannot write the files of view '%s': %s",
				 v->row.agent, e.text ? e.text : strerror(-r))
		     : r;
}
