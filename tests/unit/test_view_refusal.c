/* SPDX-License-Identifier: Apache-2.0 */
/* view: what is refused, by policy, quota and limits, and that nothing has changed then. */
#include "view_helpers.h"

/* As ext4: a node's extended attributes have a limit, and removing one makes room. */
static void test_view__xattrs_of_a_node_are_limited(void **state)
{
	struct view_fixture f;
	struct node_attr a;
	struct buf names = BUF_INIT;
	char name[32], value[1000] = {0};
	int n = 0, r;

	(void)state;
	view_fixture_init(&f, FREE_POLICY);
	a = find(&f, "README");
	do {
		(void)snprintf(name, sizeof(name), "user.n%d", n++);
		r = view_setxattr(f.view, &OWNER, a.id, name, value, sizeof(value), 0);
	} while (r == 0 && n < 1000);
	assert_int_equal(r, -ENOSPC);
	assert_in_range(n, 60, 70);
	assert_int_equal(view_setxattr(f.view, &OWNER, a.id, "user.n0", value, 999, 0), 0);
	assert_int_equal(view_removexattr(f.view, &OWNER, a.id, "user.n1"), 0);
	assert_int_equal(view_setxattr(f.view, &OWNER, a.id, name, value, sizeof(value), 0), 0);
	assert_int_equal(view_listxattr(f.view, &OWNER, a.id, &names), 0);
	assert_in_range(names.len, 1, 65536);
	buf_release(&names);
	view_forget(f.view, a.id, 1);
	view_fixture_release(&f);
}

static void test_view__refusal_is_journaled_and_changes_nothing(void **state)
{
	static const char policy[] =
		"agentfs-policy 1\nrole builder\nscratch beside\nwrite *\nwrite !README\n";
	struct view_fixture f;
	struct view_setattr set = {.set = VIEW_SET_SIZE};
	struct node_attr a;
	char *before, *after;

	(void)state;
	view_fixture_init(&f, policy);
	a = find(&f, "README");
	assert_int_equal(a.mode & 0222, 0);
	before = view_picture(&f);
	assert_int_equal(view_write(f.view, &OWNER, a.id, 0, "x", 1), -EACCES);
	assert_int_equal(view_setattr(f.view, &OWNER, a.id, &set, &a), -EACCES);
	assert_int_equal(view_unlink(f.view, &OWNER, NODE_ROOT, "README"), -EACCES);
	assert_int_equal(view_rename(f.view, &OWNER, NODE_ROOT, "README", NODE_ROOT, "z", 0),
			 -EACCES);
	assert_int_equal(view_link(f.view, &OWNER, a.id, NODE_ROOT, "z", &a), -EACCES);
	after = view_picture(&f);
	assert_string_equal(before, after);
	assert_int_equal(f.view->denied, 5);
	view_fixture_crash(&f);
	assert_int_equal(f.view->denied, 5);
	free(before);
	free(after);
	view_fixture_release(&f);
}

/* Counted, not written: nothing is lost of the number. */
static void test_view__flood_of_refusals_is_an_exact_count(void **state)
{
	static const char policy[] =
		"agentfs-policy 1\nrole builder\nscratch beside\nwrite !README\n";
	struct view_fixture f;
	struct node_attr a;
	uint64_t before;

	(void)state;
	view_fixture_init(&f, policy);
	a = find(&f, "README");
	before = f.view->rec.tree.seq;
	for (int i = 0; i < 100000; i++)
		assert_int_equal(view_write(f.view, &OWNER, a.id, 0, "x", 1), -EACCES);
	assert_int_equal(f.view->denied, 100000);
	assert_true(f.view->rec.tree.seq - before <= FLOOD_AFTER);
	view_fixture_crash(&f);
	assert_int_equal(f.view->denied, 100000);
	view_fixture_release(&f);
}

/* Nothing beyond it, nothing half done, nothing that frees refused; and an exact count of refusals. */
static void test_view__quota_bounds_live_bytes_and_nodes(void **state)
{
	static const char policy[] = "agentfs-policy 1\nrole builder\nquota bytes 10000\n"
				     "quota nodes 4\nwrite *\n";
	struct view_setattr zero = {.set = VIEW_SET_SIZE};
	struct node_attr a, b, readme;
	char block[6000] = "";
	struct view_fixture f;
	char *before, *after;
	uint64_t seq;

	(void)state;
	view_fixture_init(&f, policy);
	readme = find(&f, "README");
	assert_int_equal(view_mknod(f.view, &OWNER, NODE_ROOT, "n1", S_IFREG | 0644, 0, &a), 0);
	assert_int_equal(view_write(f.view, &OWNER, a.id, 0, block, 6000), 6000);
	before = view_picture(&f);
	assert_int_equal(view_write(f.view, &OWNER, a.id, 6000, block, 4001), -EDQUOT);
	assert_int_equal(view_write(f.view, &OWNER, a.id, 4000, block, 6000),
			 6000);	     /* 10000 in all */
	for (int i = 0; i < 20; i++) /* in place: the same bytes */
		assert_int_equal(view_write(f.view, &OWNER, a.id, 4000, block, 6000), 6000);
	assert_int_equal(view_write(f.view, &OWNER, readme.id, 0, "x", 1), -EDQUOT);
	assert_int_equal(view_copy(f.view, &OWNER, a.id, 0, a.id, 10000, 100), -EDQUOT);
	assert_int_equal(view_fallocate(f.view, &OWNER, a.id, 0, 0, 20000), -EDQUOT);
	assert_int_equal(view_fallocate(f.view, &OWNER, a.id,
					FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 100),
			 0);
	assert_int_equal(f.view->quota.held, 0);
	assert_int_equal(f.view->rec.tree.nodes.used, 2); /* the root, a */
	assert_int_equal(view_mkdir(f.view, &OWNER, NODE_ROOT, "n2", 0755, &b), 0);
	assert_int_equal(view_symlink(f.view, &OWNER, NODE_ROOT, "n3", "to", &b), 0);
	free(before);
	before = view_picture(&f);
	assert_int_equal(view_mknod(f.view, &OWNER, NODE_ROOT, "n", S_IFREG | 0644, 0, &b),
			 -EDQUOT);
	assert_int_equal(view_mkdir(f.view, &OWNER, NODE_ROOT, "n", 0755, &b), -EDQUOT);
	assert_int_equal(view_symlink(f.view, &OWNER, NODE_ROOT, "n", "x", &b), -EDQUOT);
	assert_int_equal(view_write(f.view, &OWNER, readme.id, 0, "x", 1), -EDQUOT);
	after = view_picture(&f);
	assert_string_equal(before, after);
	seq = f.view->rec.tree.seq;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(view_mknod(f.view, &OWNER, NODE_ROOT, "n", S_IFREG, 0, &b),
				 -EDQUOT);
	assert_true(f.view->rec.tree.seq - seq <= 2);
	assert_int_equal(f.view->quota.count, 999);
	assert_int_equal(view_rename(f.view, &OWNER, NODE_ROOT, "n3", NODE_ROOT, "m", 0), 0);
	assert_int_equal(view_unlink(f.view, &OWNER, NODE_ROOT, "m"), 0);
	assert_int_equal(view_setattr(f.view, &OWNER, readme.id, &zero, &b), 0);
	assert_int_equal(view_setattr(f.view, &OWNER, a.id, &zero, &b), 0);
	assert_int_equal(view_write(f.view, &OWNER, a.id, 0, block, 6000), 6000);
	view_fixture_crash(&f);
	assert_int_equal(f.view->denied, 0); /* its summaries are no denials */
	assert_int_equal(view_write(f.view, &OWNER, a.id, 6000, block, 4001), -EDQUOT);
	free(before);
	free(after);
	view_fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_view__xattrs_of_a_node_are_limited),
		cmocka_unit_test(test_view__refusal_is_journaled_and_changes_nothing),
		cmocka_unit_test(test_view__flood_of_refusals_is_an_exact_count),
		cmocka_unit_test(test_view__quota_bounds_live_bytes_and_nodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
