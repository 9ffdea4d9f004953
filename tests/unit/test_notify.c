/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of invalidations, with a kernel that answers only when it is told to. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "notify.h"

/* What libfuse would write to the kernel stands here: each call waits until the test lets it go. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned int begun, allowed;

static int kernel_answers(void)
{
	pthread_mutex_lock(&lock);
	begun++;
	pthread_cond_broadcast(&changed);
	while (allowed < begun)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	return 0;
}

int fuse_lowlevel_notify_inval_inode(struct fuse_session *se, fuse_ino_t ino, off_t off, off_t len)
{
	return kernel_answers();
}

int fuse_lowlevel_notify_inval_entry(struct fuse_session *se, fuse_ino_t parent, const char *name,
				     size_t len)
{
	return kernel_answers();
}

static void allow(unsigned int n)
{
	pthread_mutex_lock(&lock);
	allowed = n;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void wait_begun(unsigned int n)
{
	pthread_mutex_lock(&lock);
	while (begun < n)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static struct notify *start(void)
{
	struct notify *n = NULL;

	begun = allowed = 0;
	assert_int_equal(notify_new(&n), 0);
	notify_attach(n, (struct fuse_session *)n); /* any that is not NULL */
	return n;
}

static atomic_bool flushed;

static void *flush(void *user)
{
	notify_flush(user);
	atomic_store(&flushed, true);
	return NULL;
}

static void test_notify__stop_never_waits_and_frees_who_does(void **state)
{
	struct notify *n = start();
	pthread_t t;

	notify_inode(1, 0, 0, n);
	notify_entry(1, "a", 1, n);
	notify_inode(2, 0, 0, n);
	wait_begun(1);
	atomic_store(&flushed, false);
	assert_int_equal(pthread_create(&t, NULL, flush, n), 0);
	assert_false(atomic_load(&flushed)); /* the kernel has not answered */
	assert_false(notify_stop(n));	     /* one is with it: the session must be served on */
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_false(notify_stop(n));
	notify_inode(3, 0, 0, n); /* dropped */
	allow(1);
	while (!notify_stop(n))
		(void)usleep(1000);
	notify_flush(n);
	notify_free(n);
	assert_int_equal(begun, 1); /* what was queued was not sent */
}

static void test_notify__without_stop_all_is_sent(void **state)
{
	struct notify *n = start();

	allow(100);
	for (unsigned int i = 0; i < 50; i++) {
		notify_inode(i, 0, 0, n);
		notify_entry(i, "name", 4, n);
	}
	notify_flush(n);
	assert_int_equal(begun, 100);
	notify_inode(7, 0, 0, n);
	allow(101);
	notify_free(n);
	assert_int_equal(begun, 101);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_notify__stop_never_waits_and_frees_who_does),
		cmocka_unit_test(test_notify__without_stop_all_is_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
