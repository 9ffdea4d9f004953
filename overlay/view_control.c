/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /.agentfs/control: what the agent may know about itself, as read-only files made on the fly. Found by
 * name but not listed, as .zfs is (a listed one makes `git clean -xfd` fail). Neither their names nor
 * their attributes are cached (reply.c gives timeouts of 0 to these numbers), and each lookup gives a
 * file a new number, so that no page of an older text can be shown.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "journal.h"
#include "sys.h"
#include "view_internal.h"

enum control_file {
	CONTROL_README = NODE_CONTROL + 1,
	CONTROL_ROLE,
	CONTROL_SCOPE,
	CONTROL_DENIED,
	CONTROL_STATUS,
	CONTROL_CHANGES, /* changes@TOKEN, not listed: the text is made when it is looked up */
	CONTROL_END,
};

/* Numbers of files: NODE_CONTROL_LAYER | count of lookups << 8 | enum control_file. */
static enum control_file file_of(uint64_t id)
{
	return (enum control_file)(id & 0xff);
}

static bool is_file(uint64_t id)
{
	return (id & NODE_CONTROL_LAYER) == NODE_CONTROL_LAYER;
}

static const struct {
	enum control_file id;
	const char *name;
} files[] = {
	{CONTROL_README, "README"}, {CONTROL_ROLE, "role"},	     {CONTROL_SCOPE, "scope"},
	{CONTROL_DENIED, "denied"}, {CONTROL_STATUS, "status.json"},
};

/* Number of the folder /.agentfs: the base's or made one, else the virtual one. */
static uint64_t agentfs_dir(const struct view *v)
{
	uint64_t id;

	return tree_lookup(&v->rec.tree, NODE_ROOT, ".agentfs", 8, &id) == 0 ? id : NODE_AGENTFS;
}

static bool agentfs_virtual(const struct view *v)
{
	return agentfs_dir(v) == NODE_AGENTFS && !tree_node(&v->rec.tree, NODE_AGENTFS);
}

bool control_is(const struct view *v, uint64_t id)
{
	return id == NODE_CONTROL || is_file(id) || (id == NODE_AGENTFS && agentfs_virtual(v));
}

bool control_reserved(const struct view *v, uint64_t parent, const char *name)
{
	if (parent == NODE_ROOT)
		return strcmp(name, ".agentfs") == 0;
	return parent == agentfs_dir(v) && strcmp(name, "control") == 0;
}

static int add_readme(const struct view *v, struct buf *b)
{
	return buf_addf(
		b,
		"This folder is a view of a git repository, made for agent %s (role %s, task %s).\n"
		"Only you see what you write here until it is materialized: your changes become commits\n"
		"on branch %s.\n"
		"\n"
		"Work as in any checkout: edit, build, git add, git commit. Commit to this branch.\n"
		"Some paths may not be written in this role. A refused write says \"Permission denied\"\n"
		"(or \"Read-only file system\" for a role that writes nothing) and changes nothing.\n"
		"\n"
		"role         your role\n"
		"scope        what you may write: patterns as in .gitignore, the last match decides\n"
		"denied       what was refused last, and by which rule\n"
		"status.json  the same facts for programs\n"
		"\n"
		"agentfsctl why PATH   tells what you may do with a path, and which rule says so\n",
		v->conf.agent, v->conf.role, v->conf.task, v->conf.branch);
}

/* The policy's text without its first line: role, scratch, rules. */
static int add_scope(const struct view *v, struct buf *b)
{
	const char *text = policy_text(v->policy), *nl = strchr(text, '\n');

	return buf_adds(b, nl ? nl + 1 : text);
}

static int add_json_string(struct buf *b, const char *s)
{
	int r = buf_addc(b, '"');

	for (; *s && r == 0; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			r = buf_addf(b, "\\%c", c);
		else if (c < 0x20)
			r = buf_addf(b, "\\u%04x", c);
		else
			r = buf_addc(b, *s);
	}
	return r < 0 ? r : buf_addc(b, '"');
}

/* What is used of what there may be; null: no limit. */
static int add_quota(const struct view *v, struct buf *b)
{
	struct policy_quota q = policy_quota(v->policy);
	const struct {
		const char *key;
		uint64_t used, limit;
	} rows[] = {
		{"bytes", view_live_bytes(v), q.bytes},
		{"nodes", v->rec.tree.nodes.used - v->rec.tree.nseeds, q.nodes},
	};
	int r = buf_adds(b, ", \"quota\": {");

	for (size_t i = 0; i < ARRAY_SIZE(rows) && r == 0; i++) {
		r = buf_addf(b, "\"%s\": {\"used\": %" PRIu64 ", \"limit\": ", rows[i].key,
			     rows[i].used);
		if (r == 0)
			r = rows[i].limit ? buf_addf(b, "%" PRIu64 "}, ", rows[i].limit)
					  : buf_adds(b, "null}, ");
	}
	return r < 0 ? r : buf_addf(b, "\"refused\": %" PRIu64 "}", v->quota.total);
}

static int add_redirects(const struct view *v, struct buf *b)
{
	static const char *const states[] = {"wanted", "mounted", "failed"};
	const struct redirect *rd;
	size_t pos = 0, n = 0;
	int r = buf_adds(b, ", \"redirects\": [");

	while (r == 0 && (rd = table_next(&v->redirects, &pos))) {
		_cleanup_buf_ struct buf path = BUF_INIT;

		if (tree_path(&v->rec.tree, rd->node, &path) < 0)
			continue;
		r = buf_adds(b, n++ ? ", {\"path\": " : "{\"path\": ");
		if (r == 0)
			r = add_json_string(b, path.data);
		if (r == 0)
			r = buf_addf(b, ", \"state\": \"%s\"}", states[rd->state]);
	}
	return r < 0 ? r : buf_adds(b, "]");
}

static int add_status(struct view *v, struct buf *b)
{
	const struct {
		const char *key, *value;
	} texts[] = {
		{"agent", v->conf.agent},   {"task", v->conf.task},
		{"role", v->conf.role},	    {"branch", v->conf.branch},
		{"target", v->conf.target}, {"base", v->conf.base_commit},
		{"mount", v->conf.mount},
	};
	int r = buf_adds(b, "{");

	for (size_t i = 0; i < ARRAY_SIZE(texts) && r == 0; i++) {
		r = buf_addf(b, "\"%s\": ", texts[i].key);
		if (r == 0)
			r = add_json_string(b, texts[i].value ? texts[i].value : "");
		if (r == 0)
			r = buf_adds(b, ", ");
	}
	if (r == 0)
		r = buf_addf(b,
			     "\"sequence\": %" PRIu64 ", \"durable\": %" PRIu64
			     ", \"denied\": %" PRIu64 ", \"changed_nodes\": %" PRIu64,
			     v->rec.tree.seq, journal_durable(v->rec.journal), v->denied,
			     v->rec.tree.nchanged);
	if (r == 0)
		r = add_quota(v, b);
	if (r == 0)
		r = add_redirects(v, b);
	return r < 0 ? r : buf_adds(b, "}\n");
}

static int add_denied(const struct view *v, struct buf *b)
{
	int r = view_denied_list(v, b);

	return r < 0 || b->len ? r : buf_adds(b, "nothing was refused\n");
}

static int render(struct view *v, uint64_t id, struct buf *b)
{
	switch (is_file(id) ? file_of(id) : CONTROL_END) {
	case CONTROL_README:
		return add_readme(v, b);
	case CONTROL_ROLE:
		return buf_addf(b, "%s\n", policy_role(v->policy));
	case CONTROL_SCOPE:
		return add_scope(v, b);
	case CONTROL_DENIED:
		return add_denied(v, b);
	case CONTROL_STATUS:
		return add_status(v, b);
	case CONTROL_CHANGES: {
		const struct buf *c =
			&v->changes[(id & ~NODE_CONTROL_LAYER) >> 8 & (CHANGES_SLOTS - 1)];

		return buf_add(b, c->data, c->len);
	}
	case CONTROL_END:
		break;
	}
	return -EISDIR;
}

int control_attr(struct view *v, uint64_t id, struct node_attr *ret)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	bool dir = id == NODE_CONTROL || id == NODE_AGENTFS;
	int64_t now = (int64_t)sys_now_ns();

	*ret = (struct node_attr){
		.id = id,
		.ino = node_ino(dir ? id : file_of(id)),
		.uid = v->conf.uid,
		.gid = v->conf.gid,
		.mode = dir ? S_IFDIR | 0555 : S_IFREG | 0444,
		.nlink = dir ? 2 : 1,
		.atime = v->started,
		.mtime = v->started,
		.ctime = v->started,
		.btime = v->started,
		.size = 4096,
	};
	if (id == NODE_AGENTFS && policy_may_make_in(v->policy, ".agentfs"))
		ret->mode |= 0200;
	if (dir)
		return 0;
	if (file_of(id) == CONTROL_DENIED || file_of(id) == CONTROL_CHANGES ||
	    file_of(id) == CONTROL_STATUS)
		ret->mtime = ret->ctime = now;
	if (render(v, id, &b) < 0)
		return -ENOMEM;
	ret->size = b.len;
	return 0;
}

/* An answer lives until CHANGES_SLOTS others were asked for; its reader reads it at once. */
static int lookup_changes(struct view *v, const char *token, struct node_attr *ret)
{
	uint64_t n = ++v->control_lookups;
	struct buf *b = &v->changes[n & (CHANGES_SLOTS - 1)];
	int r;

	buf_clear(b);
	r = view_changes(v, token, b);
	return r < 0 ? r : control_attr(v, NODE_CONTROL_LAYER | n << 8 | CONTROL_CHANGES, ret);
}

int control_lookup(struct view *v, uint64_t parent, const char *name, struct node_attr *ret)
{
	if (parent == NODE_ROOT && strcmp(name, ".agentfs") == 0 && agentfs_virtual(v))
		return control_attr(v, NODE_AGENTFS, ret);
	if (parent == agentfs_dir(v) && strcmp(name, "control") == 0)
		return control_attr(v, NODE_CONTROL, ret);
	if (parent == NODE_CONTROL) {
		if (strcmp(name, "origin.git") == 0) {
			view_origin_root(v, ret);
			return 0;
		}
		if (strncmp(name, "changes@", 8) == 0)
			return lookup_changes(v, name + 8, ret);
		for (size_t i = 0; i < ARRAY_SIZE(files); i++)
			if (strcmp(files[i].name, name) == 0)
				return control_attr(v,
						    NODE_CONTROL_LAYER | ++v->control_lookups << 8 |
							    files[i].id,
						    ret);
		return -ENOENT;
	}
	if (control_is(v, parent))
		return parent == NODE_AGENTFS ? -ENOENT : -ENOTDIR;
	return -ENODATA; /* not ours */
}

ssize_t control_read(struct view *v, uint64_t id, uint64_t off, void *buf, size_t n)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = render(v, id, &b);

	if (r < 0)
		return r;
	if (off >= b.len)
		return 0;
	if (n > b.len - off)
		n = b.len - off;
	memcpy(buf, b.data + off, n);
	return (ssize_t)n;
}

int control_readdir(struct view *v, uint64_t id, uint64_t cookie, view_dir_fn fn, void *user)
{
	struct node_attr a;
	int r = 0;

	if (id != NODE_CONTROL && id != NODE_AGENTFS)
		return -ENOTDIR;
	if (cookie < 1) {
		(void)control_attr(v, id, &a);
		r = fn(".", 1, &a, user);
	}
	if (r == 0 && cookie < 2) {
		(void)tree_attr(&v->rec.tree, NODE_ROOT, &a);
		r = fn("..", 2, &a, user);
	}
	if (id == NODE_AGENTFS)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(files) && r == 0; i++) {
		if (cookie >= i + 3)
			continue;
		r = control_attr(v, NODE_CONTROL_LAYER | files[i].id, &a);
		if (r == 0)
			r = fn(files[i].name, i + 3, &a, user);
	}
	return r;
}
