/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls that are refused in a sandbox. Namespaces and missing capabilities keep most of them from
 * doing harm already; what is here is either open in spite of them (io_uring, keyctl, ptrace, AF_VSOCK,
 * AF_NETLINK), or a large part of the kernel that no build needs.
 *
 * The kernel reads an int from the lower half of a register: values are compared there, or a set upper
 * half would slip through.
 */
#include "sandbox_parts.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"

#ifdef HAVE_SECCOMP
#include <seccomp.h>

#ifndef TIOCLINUX
#define TIOCLINUX 0x541C
#endif

static const int refused[] = {
	SCMP_SYS(acct),
	SCMP_SYS(add_key),
	SCMP_SYS(bpf),
	SCMP_SYS(chroot),
	SCMP_SYS(delete_module),
	SCMP_SYS(fanotify_init),
	SCMP_SYS(finit_module),
	SCMP_SYS(fsconfig),
	SCMP_SYS(fsmount),
	SCMP_SYS(fsopen),
	SCMP_SYS(fspick),
	SCMP_SYS(init_module),
	SCMP_SYS(kcmp),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(kexec_load),
	SCMP_SYS(keyctl),
	SCMP_SYS(lookup_dcookie),
	SCMP_SYS(mount),
	SCMP_SYS(mount_setattr),
	SCMP_SYS(move_mount),
	SCMP_SYS(name_to_handle_at),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(open_tree),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(pivot_root),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(ptrace),
	SCMP_SYS(quotactl),
	SCMP_SYS(reboot),
	SCMP_SYS(request_key),
	SCMP_SYS(setns),
	SCMP_SYS(swapoff),
	SCMP_SYS(swapon),
	SCMP_SYS(syslog),
	SCMP_SYS(umount),
	SCMP_SYS(umount2),
	SCMP_SYS(unshare),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(vhangup),
};

/* Programs ask for these and go another way where the kernel has them not. */
static const int absent[] = {
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register),
	SCMP_SYS(io_uring_setup),
};

enum { AF_LAST_ALLOWED = 10 /* AF_INET6 */, AF_FIRST_DENIED = 3 };

static int refuse_ioctl(scmp_filter_ctx c, unsigned long request)
{
	return seccomp_rule_add(c, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
				SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, request));
}

/* Unix and internet sockets only. */
static int refuse_families(scmp_filter_ctx c, int call)
{
	int r = seccomp_rule_add(c, SCMP_ACT_ERRNO(EAFNOSUPPORT), call, 1,
				 SCMP_A0(SCMP_CMP_GT, AF_LAST_ALLOWED));

	for (unsigned f = AF_FIRST_DENIED; r == 0 && f < AF_LAST_ALLOWED; f++)
		r = seccomp_rule_add(c, SCMP_ACT_ERRNO(EAFNOSUPPORT), call, 1,
				     SCMP_A0(SCMP_CMP_EQ, f));
	return r;
}

static int fill(scmp_filter_ctx c)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(refused); i++)
		r = seccomp_rule_add(c, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(absent); i++)
		r = seccomp_rule_add(c, SCMP_ACT_ERRNO(ENOSYS), absent[i], 0);
	if (r == 0)
		r = refuse_ioctl(c, TIOCSTI);
	if (r == 0)
		r = refuse_ioctl(c, TIOCLINUX);
	if (r == 0)
		r = refuse_families(c, SCMP_SYS(socket));
	return r;
}

int sandbox_seccomp_fd(int *ret)
{
	_cleanup_close_ int fd = memfd_create("seccomp", MFD_CLOEXEC);
	scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
	int r = fd < 0 ? -errno : c ? fill(c) : -ENOMEM;

	if (r == 0)
		r = seccomp_export_bpf(c, fd);
	if (c)
		seccomp_release(c);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	if (r < 0)
		return r;
	*ret = TAKE_FD(fd);
	return 0;
}

bool sandbox_has_seccomp(void)
{
	return true;
}

#else

int sandbox_seccomp_fd(int *ret)
{
	*ret = -1;
	return 0;
}

bool sandbox_has_seccomp(void)
{
	return false;
}

#endif
