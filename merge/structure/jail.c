/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limits of agentfs-parser. It reads text that anybody may have written, by grammars with C code of
 * their own. Guarantees, whatever that code does: it can open no file for writing, nor (Landlock) one to read outside
 * the grammars' folder; it can start nothing, connect to nothing and signal nothing but itself.
 */
#include "jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"

#if defined(__x86_64__)
#define JAIL_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define JAIL_ARCH AUDIT_ARCH_AARCH64
#endif

static const unsigned int memory_max = 1u << 30;

static int limit(int what, rlim_t n)
{
	const struct rlimit l = {n, n};

	return setrlimit((__rlimit_resource_t)what, &l) < 0 ? -errno : 0;
}

static int limits(void)
{
	static const struct {
		int what;
		rlim_t n;
	} all[] = {{RLIMIT_CORE, 0}, {RLIMIT_FSIZE, 0}, {RLIMIT_NOFILE, 16}};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(all) && r == 0; i++)
		r = limit(all[i].what, all[i].n);
#ifndef __SANITIZE_ADDRESS__ /* which reserves terabytes */
	if (r == 0)
		r = limit(RLIMIT_AS, memory_max);
#else
	(void)memory_max;
#endif
	return r;
}

/* Reading below one folder, no other path. Kernels without Landlock: nothing. */
static int landlock(const char *folder)
{
	const struct landlock_ruleset_attr attr = {.handled_access_fs = (1u << 13) - 1};
	_cleanup_close_ int rules =
		(int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	_cleanup_close_ int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct landlock_path_beneath_attr below = {.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE |
								     LANDLOCK_ACCESS_FS_READ_DIR,
						   .parent_fd = dir};

	if (rules < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
	if (dir < 0 ||
	    syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &below, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		return -errno;
	return 0;
}

#ifdef JAIL_ARCH
/* Calls that are let through whatever their arguments. */
static const unsigned int allowed[] = {
	SYS_read,	   SYS_write,		SYS_pread64,   SYS_close,
	SYS_fstat,	   SYS_newfstatat,	SYS_lseek,     SYS_mmap,
	SYS_munmap,	   SYS_mprotect,	SYS_mremap,    SYS_madvise,
	SYS_brk,	   SYS_futex,		SYS_exit,      SYS_exit_group,
	SYS_rt_sigaction,  SYS_getpid,		SYS_gettid,    SYS_rt_sigprocmask,
	SYS_rt_sigreturn,  SYS_sigaltstack,	SYS_getrandom, SYS_readlinkat,
	SYS_clock_gettime, SYS_restart_syscall, SYS_getrusage,
#ifdef SYS_readlink
	SYS_readlink,
#endif
};

enum { FILTER_MAX = 96 };

/* Code of the filter, each statement appended. */
struct code {
	struct sock_filter v[FILTER_MAX];
	unsigned short n;
};

static void put(struct code *c, struct sock_filter f)
{
	c->v[c->n++] = f;
}

static void load(struct code *c, size_t at)
{
	put(c, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)at));
}

/* Answers `verdict` where the loaded word is n. */
static void if_is(struct code *c, uint32_t n, uint32_t verdict)
{
	put(c, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, n, 0, 1));
	put(c, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, verdict));
}

static size_t arg(int i)
{
	return offsetof(struct seccomp_data, args) + (size_t)i * sizeof(uint64_t);
}

/* For one call: its argument, masked, has to be n. Leaves the call's number loaded. */
static void only(struct code *c, unsigned int call, int i, uint32_t mask, uint32_t n)
{
	put(c, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 5));
	load(c, arg(i));
	put(c, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask));
	put(c, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, n, 0, 1));
	put(c, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	put(c, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
}

static int seccomp(void)
{
	struct code c = {.n = 0};
	struct sock_fprog program;

	load(&c, offsetof(struct seccomp_data, arch));
	put(&c, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, JAIL_ARCH, 1, 0));
	put(&c, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
	load(&c, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		if_is(&c, allowed[i], SECCOMP_RET_ALLOW);
	only(&c, SYS_openat, 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY);
	only(&c, SYS_tgkill, 0, UINT32_MAX, (uint32_t)getpid());
	only(&c, SYS_prlimit64, 0, UINT32_MAX, 0);
	put(&c, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
	program = (struct sock_fprog){.len = c.n, .filter = c.v};
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		return errno == EINVAL ? 0 : -errno; /* a kernel without it */
	return 0;
}
#else
static int seccomp(void)
{
	return 0;
}
#endif

int jail_enter(const char *folder)
{
	int r;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	r = limits();
	if (r == 0)
		r = landlock(folder);
	return r < 0 ? r : seccomp();
}

void jail_allow_seconds(unsigned int n)
{
	struct rusage used;
	struct rlimit l;

	if (getrusage(RUSAGE_SELF, &used) < 0 || getrlimit(RLIMIT_CPU, &l) < 0)
		return;
	l.rlim_cur = (rlim_t)used.ru_utime.tv_sec + (rlim_t)used.ru_stime.tv_sec + n + 1;
	(void)setrlimit(RLIMIT_CPU, &l);
}
