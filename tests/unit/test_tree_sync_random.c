/* SPDX-License-Identifier: Apache-2.0 */
/* Moving a view's base: random histories against a model by path. */
#include "tree_sync_fixture.h"

struct files {
	struct file v[FILES_MAX];
	size_t n;
};

static uint64_t hash_of(const char *p, size_t n)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint8_t)p[i]) * 1099511628211u;
	return h;
}

static void add(struct files *l, const char *path, uint64_t id, uint32_t mode, uint64_t hash)
{
	assert_true(l->n < FILES_MAX);
	(void)snprintf(l->v[l->n].path, sizeof(l->v[0].path), "%s", path);
	l->v[l->n].id = id;
	l->v[l->n].mode = mode;
	l->v[l->n].own = false;
	l->v[l->n++].hash = hash;
}

static const struct file *find(const struct files *l, const char *path)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i].path, path) == 0)
			return &l->v[i];
	return NULL;
}

struct entry_name {
	const char *name;
	bool dir;
};

static int git_order(const void *a, const void *b)
{
	const struct entry_name *x = a, *y = b;
	char p[64], q[64];

	(void)snprintf(p, sizeof(p), "%s%s", x->name, x->dir ? "/" : "");
	(void)snprintf(q, sizeof(q), "%s%s", y->name, y->dir ? "/" : "");
	return strcmp(p, q);
}

/* A random tree over the names that random_place() knows. */
static git_oid random_tree(struct store *s, uint64_t *seed, int depth)
{
	static const char *const names[] = {"README", "src",  "a",    "a.c",  "a0",
					    "link",   "new1", "new2", "dir1", "dir2",
					    "exec",   "deep", "x"};
	struct entry_name e[ARRAY_SIZE(names)];
	struct buf t = BUF_INIT;
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (rnd(seed, 3))
			e[n++] = (struct entry_name){names[i], depth > 0 && rnd(seed, 4) == 0};
	if (!n)
		e[n++] = (struct entry_name){"x", false};
	qsort(e, n, sizeof(e[0]), git_order);
	for (size_t i = 0; i < n; i++) {
		char text[64];
		uint32_t kind = rnd(seed, 8);

		(void)snprintf(text, sizeof(text), "%s %u\n", e[i].name, rnd(seed, 3));
		if (e[i].dir)
			tree_adds(&t, "40000", e[i].name, random_tree(s, seed, depth - 1));
		else
			tree_adds(&t,
				  kind == 0   ? "120000"
				  : kind == 1 ? "100755"
					      : "100644",
				  e[i].name, store_blob(s, text));
	}
	return store_tree(s, &t);
}

/* --- what the view shows --- */

struct walk {
	struct view_fixture *f;
	struct files *files, *dirs;
};

static void read_view(struct walk *w, uint64_t dir, const char *path)
{
	struct picture_dir *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	assert_int_equal(view_readdir(w->f->view, &OWNER, dir, 0, false, picture_name, d), 0);
	for (size_t i = 0; i < d->n; i++) {
		char sub[128], p[30000];
		struct node_attr a;
		ssize_t k;

		assert_int_equal(view_lookup(w->f->view, &OWNER, dir, d->names[i], &a), 0);
		view_forget(w->f->view, a.id, 1);
		(void)snprintf(sub, sizeof(sub), "%s%s%.60s", path, *path ? "/" : "", d->names[i]);
		if (S_ISDIR(a.mode)) {
			add(w->dirs, sub, a.id, S_IFDIR, 0);
			read_view(w, a.id, sub);
		} else if (S_ISLNK(a.mode)) {
			struct buf b = BUF_INIT;

			assert_int_equal(view_readlink(w->f->view, a.id, &b), 0);
			add(w->files, sub, a.id, S_IFLNK, hash_of(b.data, b.len));
			buf_release(&b);
		} else {
			k = view_read(w->f->view, &OWNER, a.id, 0, p, sizeof(p));
			assert_true(k >= 0);
			add(w->files, sub, a.id, S_IFREG | (a.mode & 0100), hash_of(p, (size_t)k));
		}
		if (!S_ISDIR(a.mode))
			w->files->v[w->files->n - 1].own =
				tree_entry(&w->f->view->rec.tree, dir, d->names[i],
					   strlen(d->names[i])) != NULL;
	}
	free(d);
}

static uint64_t blob_hash(struct store *s, const uint8_t *oid)
{
	enum odb_type type;
	void *p;
	size_t n;
	uint64_t h;

	assert_int_equal(odb_read(s->odb, oid, &type, &p, &n), 0);
	h = hash_of(p, n);
	free(p);
	return h;
}

static void read_image(struct store *s, const struct tree *t, const struct image *img,
		       uint32_t place, const char *path, struct files *files, struct files *dirs)
{
	const struct image_node *d = image_node(img, place);

	for (uint32_t i = 0; i < d->children; i++) {
		const struct image_node *b = image_node(img, d->first_child + i);
		uint64_t id = t ? tree_number(t, d->first_child + i) : 0;
		char sub[128];
		size_t len;
		const char *name = image_name(img, b, &len);

		(void)snprintf(sub, sizeof(sub), "%s%s%.*s", path, *path ? "/" : "", (int)len,
			       name);
		if (S_ISDIR(node_base_mode(b))) {
			add(dirs, sub, id, S_IFDIR, 0);
			read_image(s, t, img, d->first_child + i, sub, files, dirs);
		} else {
			add(files, sub, id, S_ISLNK(b->mode) ? S_IFLNK : S_IFREG | (b->mode & 0100),
			    blob_hash(s, b->oid));
		}
	}
}

/* --- the model --- */

struct world {
	struct files v, vdirs, o, odirs, n, ndirs;
};

static bool below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && path[n] == '/';
}

/* As the view has it, not as the base had it. */
static bool touched(const struct world *w, const char *path)
{
	const struct file *v = find(&w->v, path), *o = find(&w->o, path);

	if (!v || !o)
		return v || o;
	return v->id != o->id || v->mode != o->mode || v->hash != o->hash || v->own;
}

/* Does something of the view's keep the new base's file at `path` from being shown? */
static bool hidden(const struct world *w, const char *path)
{
	for (size_t i = 0; i < w->v.n; i++)
		if (touched(w, w->v.v[i].path) &&
		    (below(path, w->v.v[i].path) || below(w->v.v[i].path, path)))
			return true;
	for (size_t i = 0; i < w->vdirs.n; i++) { /* a folder of the view's own, or moved here */
		const char *dir = w->vdirs.v[i].path;
		const struct file *o = NULL;

		for (size_t k = 0; k < w->odirs.n && !o; k++)
			if (w->odirs.v[k].id == w->vdirs.v[i].id)
				o = &w->odirs.v[k];
		if (!o && !find(&w->odirs, dir) && (strcmp(dir, path) == 0 || below(dir, path)))
			return true;
		if (o && strcmp(o->path, dir) != 0 &&
		    (strcmp(dir, path) == 0 || below(dir, path) || below(path, dir)))
			return true;
	}
	for (size_t i = 0; i < w->odirs.n; i++) { /* the view has put its hand on the folder */
		const struct file *v = find(&w->vdirs, w->odirs.v[i].path);

		if ((below(path, w->odirs.v[i].path) || strcmp(path, w->odirs.v[i].path) == 0) &&
		    (!v || v->id != w->odirs.v[i].id) &&
		    (strcmp(path, w->odirs.v[i].path) != 0 || v) &&
		    (below(path, w->odirs.v[i].path) ? find(&w->ndirs, w->odirs.v[i].path) != NULL
						     : true))
			return true;
	}
	return false;
}

static void expect(const struct world *w, struct files *ret)
{
	ret->n = 0;
	for (size_t i = 0; i < w->v.n; i++)
		if (touched(w, w->v.v[i].path))
			add(ret, w->v.v[i].path, 0, w->v.v[i].mode, w->v.v[i].hash);
	for (size_t i = 0; i < w->n.n; i++) {
		const char *path = w->n.v[i].path;

		if (!touched(w, path) && !hidden(w, path))
			add(ret, path, 0, w->n.v[i].mode, w->n.v[i].hash);
	}
}

static void same_files(const struct files *want, const struct files *have, uint64_t seed)
{
	for (size_t i = 0; i < want->n; i++) {
		const struct file *h = find(have, want->v[i].path);

		if (!h)
			fail_msg("seed %lu: '%s' is missing", (unsigned long)seed, want->v[i].path);
		if (h->mode != want->v[i].mode || h->hash != want->v[i].hash)
			fail_msg("seed %lu: '%s' has other content", (unsigned long)seed,
				 want->v[i].path);
	}
	for (size_t i = 0; i < have->n; i++)
		if (!find(want, have->v[i].path))
			fail_msg("seed %lu: '%s' should not be there", (unsigned long)seed,
				 have->v[i].path);
}

static void make_bases(struct view_fixture *f, uint64_t *seed)
{
	for (int i = 0; i < BASES; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "images/b%d.img", i);
		image_close(store_image(&f->store, random_tree(&f->store, seed, 2), NULL, name));
	}
}

struct diffed {
	const struct files *v, *n;
	size_t count;
};

static int diffed(const struct snapshot_change *c, void *user)
{
	struct diffed *d = user;
	const struct file *v = find(d->v, c->path), *n = find(d->n, c->path);

	d->count++;
	assert_true(c->status == 'D' ? !v && n : c->status == 'A' ? v && !n : v && n);
	return 0;
}

/* What a worker reads from the files is what the view shows, and names each difference. */
static void check_snapshot(struct view_fixture *f, const struct files *v, const struct files *n)
{
	struct diffed d = {.v = v, .n = n};
	struct snapshot *s = NULL;
	struct err e = ERR_INIT;
	size_t want = 0;

	assert_int_equal(view_sync(f->view), 0);
	assert_int_equal(snapshot_open(f->dir, f->state, 0, &s, &e), 0);
	for (size_t i = 0; i < v->n; i++) {
		const struct file *b = find(n, v->v[i].path);
		struct snapshot_stat st;
		char p[30000];
		ssize_t k;

		assert_int_equal(snapshot_lookup(s, v->v[i].path, &st), 0);
		assert_int_equal(st.node, v->v[i].id);
		k = snapshot_read(s, st.node, 0, p, sizeof(p));
		assert_true(k >= 0 && hash_of(p, (size_t)k) == v->v[i].hash);
		want += !b || b->hash != v->v[i].hash || b->mode != v->v[i].mode;
	}
	for (size_t i = 0; i < n->n; i++)
		want += !find(v, n->v[i].path);
	assert_int_equal(snapshot_changes(s, diffed, &d), 0);
	assert_true(d.count >= want);
	snapshot_close(s);
}

static bool random_dir(struct view_fixture *f, uint64_t *seed)
{
	struct node_attr a;
	char name[32];
	uint64_t dir = random_place(f, seed, name);

	if (view_lookup(f->view, &OWNER, dir, name, &a) < 0)
		return false;
	view_forget(f->view, a.id, 1);
	return S_ISDIR(a.mode);
}

/* Folders are moved about only where the model need not follow them. */
static void random_history(uint64_t seed, bool move_dirs)
{
	uint64_t start = seed;
	struct view_fixture f;
	struct world *w = calloc(1, sizeof(*w));
	struct files *want = calloc(1, sizeof(*want)), *have = calloc(1, sizeof(*have));
	struct files *dirs = calloc(1, sizeof(*dirs));

	assert_true(w && want && have && dirs);
	view_fixture_init(&f, "agentfs-policy 1\nrole builder\nscratch beside\nwrite *\n");
	make_bases(&f, &seed);
	for (int round = 0; round < 12; round++) {
		const struct tree *t = &f.view->rec.tree;
		char name[32];

		for (uint32_t i = rnd(&seed, 25); i > 0; i--) {
			uint64_t before = seed;
			bool dir = random_dir(&f, &seed);

			dir |= random_dir(&f, &seed);
			seed = before; /* random_step() begins with these places */
			if (dir && !move_dirs)
				(void)rnd(&seed, 2);
			else
				(void)random_step(&f, &seed);
		}
		*w = (struct world){0};
		read_view(&(struct walk){&f, &w->v, &w->vdirs}, NODE_ROOT, "");
		read_image(&f.store, t, t->image, 0, "", &w->o, &w->odirs);
		(void)snprintf(name, sizeof(name), "b%u.img", rnd(&seed, BASES));
		assert_int_equal(move(&f, name), 0);
		t = &f.view->rec.tree;
		read_image(&f.store, t, t->image, 0, "", &w->n, &w->ndirs);
		have->n = dirs->n = 0;
		read_view(&(struct walk){&f, have, dirs}, NODE_ROOT, "");
		if (!move_dirs) {
			expect(w, want);
			same_files(want, have, start);
		}
		check_links(&f, NODE_ROOT);
		if (rnd(&seed, 2))
			check_snapshot(&f, have, &w->n);
		if (rnd(&seed, 2))
			survive(&f, rnd(&seed, 2));
	}
	view_fixture_release(&f);
	free(w);
	free(want);
	free(have);
	free(dirs);
}

/* AGENTFS_CASES=n: n seeds. */
static uint64_t cases(void)
{
	const char *n = getenv("AGENTFS_CASES");

	return n ? strtoull(n, NULL, 10) : 12;
}

static void test_tree_sync__keeps_what_the_view_changed(void **state)
{
	for (uint64_t seed = 1; seed <= cases(); seed++)
		random_history(seed, false);
}

static void test_tree_sync__survives_whatever_was_moved(void **state)
{
	for (uint64_t seed = 1; seed <= cases(); seed++)
		random_history(seed * 1000, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree_sync__keeps_what_the_view_changed),
		cmocka_unit_test(test_tree_sync__survives_whatever_was_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
