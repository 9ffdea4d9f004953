/* SPDX-License-Identifier: Apache-2.0 */
/* Listings while names come and go, and the corners of renaming what the base has. */
#include "view_random.h"

#include <errno.h>

static const char FREE_POLICY[] = "agentfs-policy 1\nrole builder\nscratch beside\nwrite *\n";

enum { NAMES = 40, LISTINGS = 300 };

struct listing {
	uint64_t cookie;
	unsigned int room; /* names taken per call */
	size_t n;
	char names[512][256];
};

static int take_name(const char *name, uint64_t cookie, const struct node_attr *a, void *user)
{
	struct listing *l = user;

	(void)a;
	if (!l->room)
		return 1;
	l->room--;
	assert_true(cookie > l->cookie);
	l->cookie = cookie;
	assert_true(l->n < 512);
	(void)strcpy(l->names[l->n++], name);
	return 0;
}

static unsigned int count_name(const struct listing *l, const char *name)
{
	unsigned int k = 0;

	for (size_t i = 0; i < l->n; i++)
		k += strcmp(l->names[i], name) == 0;
	return k;
}

static uint64_t look(struct view_fixture *f, uint64_t dir, const char *name)
{
	struct node_attr a;
	int r = view_lookup(f->view, &OWNER, dir, name, &a);

	if (r < 0)
		return 0;
	view_forget(f->view, a.id, 1);
	return a.id;
}

static void toggle(struct view_fixture *f, const char *name)
{
	struct node_attr a;

	if (look(f, NODE_ROOT, name)) {
		assert_int_equal(view_unlink(f->view, &OWNER, NODE_ROOT, name), 0);
	} else {
		assert_int_equal(
			view_mknod(f->view, &OWNER, NODE_ROOT, name, S_IFREG | 0644, 0, &a), 0);
		view_forget(f->view, a.id, 1);
	}
}

/* What is there from the first call to the last is listed once; nothing is listed twice under one
 * cookie; base names and made ones alike. */
static void test_dir__listing_under_change_neither_skips_nor_repeats(void **state)
{
	static const char *const stays[] = {"a", "a0", "deep", "link", "module", "stay1", "stay2"};
	static const char *const goes[] = {"README", "a.c"};
	struct view_fixture f;
	struct node_attr a;
	uint64_t seed = 11;

	(void)state;
	view_fixture_init(&f, FREE_POLICY);
	assert_int_equal(view_mknod(f.view, &OWNER, NODE_ROOT, "stay1", S_IFREG | 0644, 0, &a), 0);
	for (int i = 0; i < NAMES; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "n%d", i);
		toggle(&f, name);
	}
	assert_int_equal(view_mknod(f.view, &OWNER, NODE_ROOT, "stay2", S_IFREG | 0644, 0, &a), 0);
	for (int round = 0; round < LISTINGS; round++) {
		struct listing *l = calloc(1, sizeof(*l));
		size_t before;

		assert_non_null(l);
		do {
			before = l->n;
			l->room = 1 + rnd(&seed, 7);
			assert_true(view_readdir(f.view, &OWNER, NODE_ROOT, l->cookie, false,
						 take_name, l) >= 0);
			for (uint32_t k = rnd(&seed, 4); k > 0; k--) {
				char name[16];

				(void)snprintf(name, sizeof(name), "n%u", rnd(&seed, NAMES));
				toggle(&f, rnd(&seed, 8) ? name : goes[rnd(&seed, 2)]);
			}
		} while (l->n > before);
		for (size_t i = 0; i < ARRAY_SIZE(stays); i++)
			assert_int_equal(count_name(l, stays[i]), 1);
		free(l);
	}
	view_fixture_release(&f);
}

static void same_after_crash(struct view_fixture *f)
{
	char *live = view_picture(f), *again;

	view_fixture_crash(f);
	again = view_picture(f);
	assert_string_equal(live, again);
	free(live);
	free(again);
}

static int ren(struct view_fixture *f, uint64_t d1, const char *n1, uint64_t d2, const char *n2,
	       unsigned int flags)
{
	return view_rename(f->view, &OWNER, d1, n1, d2, n2, flags);
}

static void test_dir__base_folders_move_as_one_node(void **state)
{
	struct view_fixture f;
	struct node_attr d;
	uint64_t deep, x, a, run;

	(void)state;
	view_fixture_init(&f, FREE_POLICY);
	deep = look(&f, NODE_ROOT, "deep");
	x = look(&f, deep, "x");
	a = look(&f, NODE_ROOT, "a");
	run = look(&f, x, "run");
	/* into another, and what is below follows with its numbers */
	assert_int_equal(ren(&f, deep, "x", a, "moved", 0), 0);
	assert_int_equal(look(&f, a, "moved"), x);
	assert_int_equal(look(&f, x, "run"), run);
	assert_int_equal(look(&f, deep, "x"), 0);
	/* never below itself, nor over what is above */
	assert_int_equal(ren(&f, NODE_ROOT, "a", x, "y", 0), -EINVAL);
	assert_int_equal(ren(&f, a, "moved", NODE_ROOT, "a", 0), -ENOTEMPTY);
	assert_int_equal(ren(&f, NODE_ROOT, "a", x, "run", 2), -EINVAL);
	assert_int_equal(ren(&f, a, "moved", NODE_ROOT, "a", 2), -EINVAL);
	/* the emptied one goes and comes back as another */
	assert_int_equal(view_rmdir(f.view, &OWNER, NODE_ROOT, "deep"), 0);
	assert_int_equal(view_mkdir(f.view, &OWNER, NODE_ROOT, "deep", 0755, &d), 0);
	assert_int_not_equal(d.id, deep);
	assert_int_equal(look(&f, d.id, "x"), 0);
	/* and the old name of a moved folder can be had again by itself */
	assert_int_equal(ren(&f, a, "moved", d.id, "x", 0), 0);
	assert_int_equal(look(&f, d.id, "x"), x);
	same_after_crash(&f);
	view_fixture_release(&f);
}

static void test_dir__exchange_of_base_and_made(void **state)
{
	struct view_fixture f;
	struct node_attr a, root;
	uint64_t base_a, readme;

	(void)state;
	view_fixture_init(&f, FREE_POLICY);
	base_a = look(&f, NODE_ROOT, "a");
	readme = look(&f, NODE_ROOT, "README");
	assert_int_equal(view_mkdir(f.view, &OWNER, NODE_ROOT, "made", 0755, &a), 0);
	assert_int_equal(ren(&f, NODE_ROOT, "a", NODE_ROOT, "made", 2), 0);
	assert_int_equal(look(&f, NODE_ROOT, "made"), base_a);
	assert_int_equal(look(&f, NODE_ROOT, "a"), a.id);
	/* a file and a folder, across folders: the link counts follow */
	assert_int_equal(view_getattr(f.view, &OWNER, NODE_ROOT, &root), 0);
	assert_int_equal(ren(&f, NODE_ROOT, "README", NODE_ROOT, "made", 2), 0);
	assert_int_equal(look(&f, NODE_ROOT, "README"), base_a);
	assert_int_equal(look(&f, NODE_ROOT, "made"), readme);
	assert_int_equal(ren(&f, NODE_ROOT, "made", base_a, "run", 2), 0);
	assert_int_equal(look(&f, base_a, "run"), readme);
	assert_int_equal(ren(&f, NODE_ROOT, "a", base_a, "run", 2), 0);
	assert_int_equal(look(&f, base_a, "run"), a.id);
	assert_int_equal(look(&f, NODE_ROOT, "a"), readme);
	assert_int_equal(view_getattr(f.view, &OWNER, NODE_ROOT, &a), 0);
	assert_int_equal(a.nlink, root.nlink - 1);
	same_after_crash(&f);
	view_fixture_release(&f);
}

static void test_dir__hard_links_across_moved_folders(void **state)
{
	struct view_fixture f;
	struct node_attr a;
	uint64_t deep, x, run;

	(void)state;
	view_fixture_init(&f, FREE_POLICY);
	deep = look(&f, NODE_ROOT, "deep");
	x = look(&f, deep, "x");
	run = look(&f, x, "run");
	assert_int_equal(view_link(f.view, &OWNER, run, NODE_ROOT, "second", &a), 0);
	assert_int_equal(a.nlink, 2);
	assert_int_equal(ren(&f, NODE_ROOT, "deep", NODE_ROOT, "away", 0), 0);
	/* both names lead to one node: nothing to do, and nothing done */
	assert_int_equal(ren(&f, x, "run", NODE_ROOT, "second", 0), 0);
	assert_int_equal(look(&f, x, "run"), run);
	assert_int_equal(view_unlink(f.view, &OWNER, x, "run"), 0);
	assert_int_equal(look(&f, NODE_ROOT, "second"), run);
	assert_int_equal(view_link(f.view, &OWNER, run, x, "run", &a), 0);
	assert_int_equal(view_unlink(f.view, &OWNER, NODE_ROOT, "second"), 0);
	assert_int_equal(view_getattr(f.view, &OWNER, run, &a), 0);
	assert_int_equal(a.nlink, 1);
	same_after_crash(&f);
	view_fixture_release(&f);
}

/* A folder is made in a folder as often as an agent likes; no walk may end on a full stack, and what
 * is there can be moved back and removed. */
static void test_dir__depth_is_bounded(void **state)
{
	static const char narrow[] = "agentfs-policy 1\nrole builder\nwrite *\nhide *.secret\n";
	struct view_fixture f;
	uint64_t dir = NODE_ROOT, parent = NODE_ROOT;
	struct node_attr a;
	int r, depth = 0;

	(void)state;
	view_fixture_init(&f, narrow);
	while ((r = view_mkdir(f.view, &OWNER, dir, "d", 0755, &a)) == 0) {
		parent = dir;
		dir = a.id;
		depth++;
		assert_true(depth <= 2 * TREE_DEPTH_MAX);
	}
	assert_int_equal(r, -ENAMETOOLONG);
	assert_true(depth >= 1000);
	/* deeper by moving the whole below another chain: walked for the policy, refused or done */
	assert_int_equal(view_mkdir(f.view, &OWNER, NODE_ROOT, "e", 0755, &a), 0);
	dir = a.id;
	for (int i = 0; i < depth - 2; i++) {
		assert_int_equal(view_mkdir(f.view, &OWNER, dir, "e", 0755, &a), 0);
		dir = a.id;
	}
	r = ren(&f, NODE_ROOT, "d", dir, "d", 0);
	assert_true(r == 0 || r == -ENAMETOOLONG);
	if (r == 0)
		assert_int_equal(ren(&f, dir, "d", NODE_ROOT, "d", 0), 0);
	assert_int_equal(view_rmdir(f.view, &OWNER, parent, "d"), 0);
	view_fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dir__listing_under_change_neither_skips_nor_repeats),
		cmocka_unit_test(test_dir__base_folders_move_as_one_node),
		cmocka_unit_test(test_dir__exchange_of_base_and_made),
		cmocka_unit_test(test_dir__depth_is_bounded),
		cmocka_unit_test(test_dir__hard_links_across_moved_folders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
