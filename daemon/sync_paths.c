/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of each path: three-way between the branch's tree before, what the view has, and the
 * branch's tree after. What only one side changed is that side's; what both changed as lines is
 * merged as lines; what cannot be is a conflict, and the view keeps what it has.
 *
 * The actions that lead there are found out by trying: the move without any is previewed (overlay/
 * snapshot.h), each path that shows something else gets an action, and the whole is previewed again.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleaner.h"
#include "cleanup.h"
#include "image.h"
#include "io.h"
#include "merge_file.h"
#include "odb.h"
#include "snapshot.h"
#include "sync.h"
#include "tree_sync.h"
#include "worker_run.h"
#include "worktree_hash.h"

static bool same(const struct tree_entry *a, const struct tree_entry *b)
{
	return a->mode == b->mode && (!a->mode || git_oid_equal(&a->oid, &b->oid));
}

static bool is_file(const struct tree_entry *e)
{
	return (e->mode & S_IFMT) == S_IFREG;
}

/* --- the list --- */

void sync_items_release(struct sync_plan *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->items[i].path);
		free(p->items[i].reason);
	}
	free(p->items);
	p->items = NULL;
	p->n = p->cap = 0;
}

static int add_item(struct sync_plan *p, const char *path, struct sync_item **ret)
{
	if (p->n == p->cap) {
		size_t cap = p->cap ? p->cap * 2 : 64;
		struct sync_item *v = realloc(p->items, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		p->items = v;
		p->cap = cap;
	}
	*ret = &p->items[p->n];
	**ret = (struct sync_item){.path = strdup(path)};
	if (!(*ret)->path)
		return -ENOMEM;
	p->n++;
	return 0;
}

struct sync_item *sync_item_find(struct sync_plan *p, const char *path)
{
	struct sync_item *it;

	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->items[i].path, path) == 0)
			return &p->items[i];
	return add_item(p, path, &it) < 0 ? NULL : it;
}

static int add_delta(const struct tree_delta *d, void *user)
{
	struct sync_item *it;

	return add_item(user, d->path, &it);
}

static int by_path(const void *a, const void *b)
{
	const struct sync_item *x = a, *y = b;
	int c = strcmp(x->path, y->path);

	return c ? c : !x->kind - !y->kind;
}

static void unite(struct sync_plan *p)
{
	size_t kept = 0;

	if (p->n > 1)
		qsort(p->items, p->n, sizeof(*p->items), by_path);
	for (size_t i = 0; i < p->n; i++) {
		if (kept && strcmp(p->items[kept - 1].path, p->items[i].path) == 0) {
			free(p->items[i].path);
			free(p->items[i].reason);
			continue;
		}
		p->items[kept++] = p->items[i];
	}
	p->n = kept;
}

/* --- what the view has --- */

static uint32_t git_mode(uint32_t mode)
{
	return S_ISLNK(mode)	? GIT_FILEMODE_LINK
	       : !S_ISREG(mode) ? 0
	       : (mode & 0100)	? GIT_FILEMODE_BLOB_EXECUTABLE
				: GIT_FILEMODE_BLOB;
}

/* False in *ret_known: its content has to be stored first, for the object id. */
static int look_at_view(struct sync_plan *p, struct sync_item *it, struct snapshot_stat *st,
			bool *ret_known)
{
	int r = snapshot_lookup(p->w->snapshot, it->path, st);

	*ret_known = true;
	if (r == -ENOENT || r == -ENOTDIR || (r == 0 && st->seed && !S_ISDIR(st->mode)))
		return 0;
	if (r < 0)
		return r;
	it->folder = S_ISDIR(st->mode);
	it->view.mode = git_mode(st->mode);
	it->node = it->view.mode ? st->node : 0;
	*ret_known = !it->view.mode || st->base;
	if (it->view.mode && st->base)
		memcpy(it->view.oid.id, st->base->oid, sizeof(it->view.oid.id));
	return 0;
}

/* What the view has at each path, as git would store it. */
static int look_at_all(struct sync_plan *p, struct cleaner *cleaner)
{
	_cleanup_free_ struct worktree_item *files = calloc(p->n + 1, sizeof(*files));
	_cleanup_free_ size_t *of = calloc(p->n + 1, sizeof(*of));
	struct worktree_hash h = {p->w->snapshot, p->w->repo.git, cleaner, false};
	size_t n = 0;
	int r = 0;

	if (!files || !of)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < p->n; i++) {
		struct sync_item *it = &p->items[i];
		struct snapshot_stat st;
		bool known;

		r = look_at_view(p, it, &st, &known);
		if (r < 0 || known)
			continue;
		files[n] = (struct worktree_item){.path = it->path,
						  .was = it->was,
						  .to = it->view,
						  .st = st,
						  .changed = true,
						  .take = true};
		of[n++] = i;
	}
	if (r == 0 && n)
		r = worktree_hash(&h, files, n, p->err);
	for (size_t i = 0; r == 0 && i < n; i++)
		p->items[of[i]].view.oid = files[i].to.oid;
	return r;
}

/* --- merging --- */

static int conflict(const char *path, const char *kind, const char *why, const char **ret_kind,
		    char **ret_reason)
{
	*ret_kind = kind;
	return asprintf(ret_reason, "'%s' %s", path, why) < 0 ? -ENOMEM : 0;
}

static git_merge_file_input input(git_blob *b, const char *name)
{
	git_merge_file_input in = GIT_MERGE_FILE_INPUT_INIT;

	in.ptr = b ? git_blob_rawcontent(b) : "";
	in.size = b ? (size_t)git_blob_rawsize(b) : 0;
	in.path = name;
	return in;
}

/* Both versions between markers. Binary files keep the view's. */
static int with_markers(struct sync_plan *p, const struct tree_entry *e[3], struct tree_entry *ret)
{
	static const char *const names[] = {"base before", "view", "new base"};
	git_merge_file_options opts = GIT_MERGE_FILE_OPTIONS_INIT;
	git_merge_file_result out = {0};
	git_merge_file_input in[3];
	git_blob *b[3] = {0};
	int r = 0;

	for (int i = 0; r == 0 && i < 3; i++) {
		if (e[i]->mode)
			r = git_blob_lookup(&b[i], p->w->repo.git, &e[i]->oid);
		in[i] = input(b[i], names[i]);
		if (b[i] && git_blob_is_binary(b[i]))
			r = GIT_EUSER;
	}
	if (p->style && strcmp(p->style, "merge") != 0)
		opts.flags |= strcmp(p->style, "diff3") == 0 ? GIT_MERGE_FILE_STYLE_DIFF3
							     : GIT_MERGE_FILE_STYLE_ZDIFF3;
	opts.ancestor_label = names[0];
	opts.our_label = names[1];
	opts.their_label = names[2];
	if (r == 0)
		r = git_merge_file(&out, &in[0], &in[1], &in[2], &opts);
	if (r == 0)
		r = git_blob_create_from_buffer(&ret->oid, p->w->repo.git, out.ptr ? out.ptr : "",
						out.len);
	git_merge_file_result_free(&out);
	for (int i = 0; i < 3; i++)
		git_blob_free(b[i]);
	return r == GIT_EUSER ? 0 : r < 0 ? git_errno(r, p->err, "writing conflict markers") : 0;
}

int sync_merge(struct sync_plan *p, const char *path, const struct tree_entry *base,
	       const struct tree_entry *ours, const struct tree_entry *theirs, bool markers,
	       struct tree_entry *ret, const char **ret_kind, char **ret_reason)
{
	struct merge_both both = {(char *)path, *base, *ours, *theirs};
	const struct tree_entry *e[3] = {base, ours, theirs};
	struct merge_file file;
	int r;

	*ret = *ours;
	if (same(theirs, base) || same(ours, theirs))
		return 0;
	if (same(ours, base)) {
		*ret = *theirs;
		return 0;
	}
	if (!ours->mode || !theirs->mode)
		return conflict(path, ours->mode ? "modify/delete" : "delete/modify",
				ours->mode ? "was changed in the view and deleted in the new base"
					   : "was deleted in the view and changed in the new base",
				ret_kind, ret_reason);
	if (!is_file(ours) || !is_file(theirs) || (base->mode && !is_file(base)))
		return conflict(path, "type", "was changed on both sides, and is no plain file",
				ret_kind, ret_reason);
	r = merge_file(p->w->repo.git, MERGE_DRIVER_TEXT, &both, &file, p->err);
	if (r < 0)
		return r;
	if (file.to.mode) {
		*ret = file.to;
		return 0;
	}
	r = conflict(path, base->mode ? file.kind : "add/add", file.why, ret_kind, ret_reason);
	return r == 0 && markers ? with_markers(p, e, ret) : r;
}

static int decide(struct sync_plan *p, struct sync_item *it)
{
	int r;

	it->want = it->view;
	if (it->was.mode == GIT_FILEMODE_COMMIT || it->to.mode == GIT_FILEMODE_COMMIT)
		return 0; /* an empty folder either way */
	if (it->three)	  /* the commits conflict already: the view keeps its own, or gets both */
		return p->markers && same(&it->view, &it->sides[1]) && is_file(&it->sides[1]) &&
				       is_file(&it->sides[2])
			       ? with_markers(p,
					      (const struct tree_entry *[3]){
						      &it->sides[0], &it->sides[1], &it->sides[2]},
					      &it->want)
			       : 0;
	if (it->kind)
		return 0;
	if (it->folder && it->to.mode && !same(&it->to, &it->was)) {
		it->want = it->to; /* where all that is in the folder goes: settle() */
		return 0;
	}
	r = sync_merge(p, it->path, &it->was, &it->view, &it->to, p->markers, &it->want, &it->kind,
		       &it->reason);
	if (r == 0 && !same(&it->want, &it->view) && !same(&it->want, &it->next) &&
	    it->want.mode == GIT_FILEMODE_LINK) {
		it->want = it->view;
		r = conflict(it->path, "type", "is a symlink that only a merge has", &it->kind,
			     &it->reason);
	}
	return r;
}

int sync_items(struct sync_plan *p)
{
	git_repository *git = p->w->repo.git;
	struct cleaner cleaner = {0};
	int r = tree_diff(git, &p->tip_tree, &p->head_tree, add_delta, p);

	memcpy(p->base_tree.id, image_tree_oid(snapshot_image(p->w->snapshot)),
	       sizeof(p->base_tree.id));
	if (r == 0)
		r = tree_diff(git, &p->base_tree, &p->next_tree, add_delta, p);
	if (r < 0)
		return err_set(p->err, r, "comparing the bases: %s", strerror(-r));
	unite(p);
	r = cleaner_open(&cleaner, &p->objects, p->w, p->err);
	for (size_t i = 0; r == 0 && i < p->n; i++)
		r = cleaner_add(&cleaner, p->items[i].path, p->err);
	for (size_t i = 0; r == 0 && i < p->n; i++) {
		struct sync_item *it = &p->items[i];

		r = tree_get(git, &p->tip_tree, it->path, &it->was);
		if (r == 0)
			r = tree_get(git, &p->head_tree, it->path, &it->to);
		if (r == 0)
			r = tree_get(git, &p->next_tree, it->path, &it->next);
	}
	if (r == 0)
		r = look_at_all(p, &cleaner);
	for (size_t i = 0; r == 0 && i < p->n; i++)
		r = decide(p, &p->items[i]);
	cleaner_close(&cleaner);
	return r;
}

/* --- actions --- */

static int too_many(struct sync_plan *p)
{
	return err_set_id(p->err, -E2BIG, "TooLarge",
			  "the view of %s and the new base differ in too many files that both have "
			  "changed: make a new view on it",
			  p->w->conf.agent);
}

static int write_payload(struct sync_plan *p, const void *bytes, size_t n, uint64_t *ret_at)
{
	int r = io_pwrite_full(p->payload, bytes, n, p->payload_len);

	*ret_at = p->payload_len;
	p->payload_len += n;
	return r;
}

static int act(struct sync_plan *p, struct sync_path *last, const char *path,
	       const struct sync_action *a)
{
	int r = sync_action_add(&p->actions, last, path, a);

	return r == -E2BIG ? too_many(p) : r;
}

static int put_blob(struct sync_plan *p, struct sync_path *last, const struct sync_item *it)
{
	struct sync_action a = {.kind = SYNC_PUT,
				.mode = it->want.mode == GIT_FILEMODE_BLOB_EXECUTABLE ? 0755
										      : 0644};
	git_blob *b = NULL;
	int r = git_blob_lookup(&b, p->w->repo.git, &it->want.oid);

	if (r < 0)
		return git_errno(r, p->err, "reading the merged '%s'", it->path);
	a.size = (uint64_t)git_blob_rawsize(b);
	r = write_payload(p, git_blob_rawcontent(b), a.size, &a.place);
	git_blob_free(b);
	return r < 0 ? r : act(p, last, it->path, &a);
}

/* Does the preview show what the path is to have? Its own node, where that is still the view's. */
static int shows(struct sync_plan *p, const struct sync_item *it, bool *ret_right, bool *ret_own)
{
	struct snapshot_stat st;
	struct tree_entry e = {0};
	int r = snapshot_preview_lookup(p->w->snapshot, it->path, &st);

	*ret_own = false;
	if (r < 0 && r != -ENOENT && r != -ENOTDIR)
		return r;
	if (r == 0)
		e.mode = git_mode(st.mode);
	if (e.mode && st.node == it->node) {
		*ret_own = true;
		e.oid = it->view.oid;
	} else if (e.mode && st.base) {
		memcpy(e.oid.id, st.base->oid, sizeof(e.oid.id));
	} else if (e.mode) {
		e = it->want; /* what an action has put there */
	}
	*ret_right = same(&e, &it->want);
	return 0;
}

static int act_on(struct sync_plan *p, struct sync_path *last, struct sync_item *it)
{
	bool right, own;
	int r;

	if (it->put)
		return put_blob(p, last, it);
	r = shows(p, it, &right, &own);
	if (r < 0)
		return r;
	if (right && own && same(&it->want, &it->next) && is_file(&it->want))
		return act(p, last, it->path, &(struct sync_action){.kind = SYNC_SAME});
	if (right || it->folder)
		return 0;
	if (!it->want.mode || same(&it->want, &it->next))
		return act(p, last, it->path, &(struct sync_action){.kind = SYNC_DROP});
	if (!is_file(&it->want))
		return 0; /* settle() says so */
	it->put = true;
	return put_blob(p, last, it);
}

static int preview(struct sync_plan *p)
{
	char hex[GIT_OID_HEXSZ + 1];
	struct snapshot_move m = {
		.image = p->image,
		.commit = git_oid_tostr(hex, sizeof(hex), &p->next),
		.time = p->time,
		.actions = {p->actions.data ? p->actions.data : "", p->actions.len},
	};
	int r = snapshot_preview(p->w->snapshot, &m);

	return r < 0 ? err_set(p->err, r, "trying the move: %s", strerror(-r)) : 0;
}

/* One that DROP does not bring to what it is to be is put; what even that does not is a conflict. */
static int settle(struct sync_plan *p, bool *ret_again)
{
	*ret_again = false;
	for (size_t i = 0; i < p->n; i++) {
		struct sync_item *it = &p->items[i];
		bool right, own;
		int r = shows(p, it, &right, &own);

		if (r < 0)
			return r;
		if (right || it->kind)
			continue;
		if (!it->put && is_file(&it->want) && !it->folder) {
			it->put = *ret_again = true;
			continue;
		}
		r = it->folder ? conflict(it->path, "file/directory",
					  "is a folder in the view and a file in the new base",
					  &it->kind, &it->reason)
			       : conflict(it->path, "covered",
					  "is covered by what the view has in its place", &it->kind,
					  &it->reason);
		if (r < 0)
			return r;
	}
	return 0;
}

int sync_actions(struct sync_plan *p)
{
	bool again = true;
	int r = 0;

	for (int round = 0; r == 0 && again && round < 3; round++) {
		struct sync_path last = {BUF_INIT};

		buf_clear(&p->actions);
		p->payload_len = SYNC_ACTIONS_MAX; /* the actions stand in front */
		r = preview(p);
		for (size_t i = 0; r == 0 && i < p->n; i++)
			r = act_on(p, &last, &p->items[i]);
		buf_release(&last.path);
		if (r == 0)
			r = preview(p);
		if (r == 0)
			r = settle(p, &again);
	}
	return r;
}

int sync_put(struct sync_plan *p, const char *path, const void *bytes, size_t n)
{
	struct sync_path none = {BUF_INIT};
	struct sync_action a = {.kind = SYNC_PUT, .mode = 0644, .size = n};
	int r = write_payload(p, bytes, n, &a.place);

	if (r == 0)
		r = act(p, &none, path, &a);
	buf_release(&none.path);
	return r < 0 && !p->err->code ? err_set(p->err, r, "preparing '%s'", path) : r;
}
