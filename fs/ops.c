/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is negotiated with the kernel, and why.
 *
 * The protocol is stateless: OPEN, OPENDIR, CREATE and FLUSH are answered ENOSYS once, after which the
 * kernel opens and closes by itself (CREATE becomes MKNOD); everything goes by node number. Traps, each
 * with a test in tests/fs:
 *   1. ATOMIC_O_TRUNC must be off: without an OPEN to us, truncation on open would be dropped.
 *   2. AUTO_INVAL_DATA must be off: it costs a GETATTR and a READ after each write.
 *   3. HANDLE_KILLPRIV_V2 saves a GETXATTR per write(2); libfuse before 3.18 does not know it, so
 *      loop_dev.c sets its bit in the INIT reply. suid and sgid are then cleared by view_attr.c and view_data.c.
 *   4. ENOSYS is latched for the connection's life: only the four above say it (reply.c).
 *   5. Locks are the kernel's own: no GETLK, SETLK, FLOCK handlers, since a close would not reach us.
 */
#include "ops.h"

#include "loop.h"
#include "reply.h"

enum { WRITE_MAX = 1 << 20 };

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18)
/* Setting a flag that the kernel does not offer changes nothing. */
static void negotiate(struct fuse_conn_info *conn, uint64_t off, uint64_t on)
{
	fuse_unset_feature_flag(conn, off);
	for (uint64_t bit = 1; bit; bit <<= 1)
		if (on & bit)
			(void)fuse_set_feature_flag(conn, bit);
	(void)fuse_set_feature_flag(conn, FUSE_CAP_HANDLE_KILLPRIV_V2);
	conn->request_timeout = REQUEST_TIMEOUT_S;
}
#else
static void negotiate(struct fuse_conn_info *conn, uint64_t off, uint64_t on)
{
	conn->want &= ~(uint32_t)off;
	conn->want |= (uint32_t)on & conn->capable;
}
#endif

static void op_init(void *user, struct fuse_conn_info *conn)
{
	const uint64_t off = FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_AUTO_INVAL_DATA |
			     FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
			     FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_POSIX_LOCKS |
			     FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_READDIRPLUS_AUTO |
			     FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_IOCTL_DIR;
	const uint64_t on = FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_READDIRPLUS |
			    FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO |
			    FUSE_CAP_EXPLICIT_INVAL_DATA | FUSE_CAP_NO_OPEN_SUPPORT |
			    FUSE_CAP_NO_OPENDIR_SUPPORT;

	(void)user;
	negotiate(conn, off, on);
	conn->max_write = WRITE_MAX;
	conn->time_gran = 1;
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	reply_unsupported(req);
}

const struct fuse_lowlevel_ops ops_table = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.opendir = op_open,
	.read = op_read,
	.write = op_write,
	.fsync = op_fsync,
	.fsyncdir = op_fsync,
	.statfs = op_statfs,
	.setxattr = op_setxattr,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
	.copy_file_range = op_copy_file_range,
};
