/* SPDX-License-Identifier: Apache-2.0 */
/* File content → blob. Plain content is streamed; what has to be converted is held whole, bounded.
 */
#include "worktree_hash.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "odb.h"
#include "snapshot.h"

enum { CHUNK = 1 << 20 };
static const uint64_t convert_max = UINT64_C(512) << 20;

static int unreadable(const char *path, ssize_t r, struct err *reterr)
{
	int code = r < 0 ? (int)r : -EIO;

	if (code == -EIO)
		return err_set_id(
			reterr, code, "Damaged",
			"'%s' of the view cannot be read: the repository's object is missing or "
			"damaged, the view's log names it",
			path);
	return err_set(reterr, code, "reading '%s' of the view: %s", path, strerror(-code));
}

static int read_whole(struct worktree_hash *h, const struct worktree_item *it, struct buf *b,
		      struct err *reterr)
{
	int r = buf_reserve(b, it->st.size + 1);

	while (r == 0 && b->len < it->st.size) {
		ssize_t k = snapshot_read(h->snapshot, it->st.node, b->len, b->data + b->len,
					  it->st.size - b->len);

		if (k <= 0)
			return unreadable(it->path, k, reterr);
		b->len += (size_t)k;
	}
	return r;
}

static int store(struct worktree_hash *h, struct worktree_item *it, const struct buf *b,
		 struct err *reterr)
{
	int r = git_blob_create_from_buffer(&it->to.oid, h->git, b->data ? b->data : "", b->len);

	return r < 0 ? git_errno(r, reterr, "storing '%s'", it->path) : 0;
}

static int store_stream(struct worktree_hash *h, struct worktree_item *it, struct err *reterr)
{
	_cleanup_free_ char *chunk = malloc(CHUNK);
	git_odb_stream *stream = NULL;
	git_odb *odb = NULL;
	uint64_t off = 0;
	int r = chunk ? git_repository_odb(&odb, h->git) : -ENOMEM;

	if (r == 0)
		r = git_odb_open_wstream(&stream, odb, it->st.size, GIT_OBJECT_BLOB);
	git_odb_free(odb);
	while (r == 0 && off < it->st.size) {
		ssize_t k = snapshot_read(h->snapshot, it->st.node, off, chunk, CHUNK);

		if (k <= 0) {
			git_odb_stream_free(stream);
			return unreadable(it->path, k, reterr);
		}
		r = git_odb_stream_write(stream, chunk, (size_t)k);
		off += (uint64_t)k;
	}
	if (r == 0)
		r = git_odb_stream_finalize_write(&it->to.oid, stream);
	git_odb_stream_free(stream);
	return r < 0 ? git_errno(r, reterr, "storing '%s'", it->path) : 0;
}

static int store_raw(struct worktree_hash *h, struct worktree_item *it, struct err *reterr)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r;

	if (it->st.size > CHUNK)
		return store_stream(h, it, reterr);
	r = read_whole(h, it, &b, reterr);
	return r < 0 ? r : store(h, it, &b, reterr);
}

static bool stored_has_crlf(struct worktree_hash *h, const struct worktree_item *it)
{
	git_blob *blob = NULL;
	bool found;

	if (!it->was.mode || git_blob_lookup(&blob, h->git, &it->was.oid) < 0)
		return false;
	found = memmem(git_blob_rawcontent(blob), (size_t)git_blob_rawsize(blob), "\r\n", 2) !=
		NULL;
	git_blob_free(blob);
	return found;
}

static int store_converted(struct worktree_hash *h, struct worktree_item *it, struct err *reterr)
{
	_cleanup_buf_ struct buf in = BUF_INIT, out = BUF_INIT;
	int r;

	if (it->st.size > convert_max)
		return err_set_id(
			reterr, -EFBIG, "TooLarge",
			"'%s' is too large for the conversion that .gitattributes asks for",
			it->path);
	r = read_whole(h, it, &in, reterr);
	if (r == 0)
		r = cleaner_convert(h->cleaner, it->path, &in, stored_has_crlf(h, it), &out,
				    reterr);
	return r < 0 ? r : store(h, it, &out, reterr);
}

static int store_lfs(struct worktree_hash *h, struct worktree_item *it, struct err *reterr)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = 0;

	if (it->st.size < 1024)
		r = read_whole(h, it, &b, reterr);
	if (r < 0)
		return r;
	if (b.len == it->st.size && (b.len == 0 || cleaner_is_lfs_pointer(b.data, b.len)))
		return store(h, it, &b, reterr);
	return err_set_id(
		reterr, -EOPNOTSUPP, "Unsupported",
		"'%s' is kept by Git LFS, which is not run here: commit it in the view with git "
		"lfs, or restore its pointer",
		it->path);
}

int worktree_hash(struct worktree_hash *h, struct worktree_item *it, struct err *reterr)
{
	enum clean_kind kind = CLEAN_RAW;
	const char *filter = "";
	int r;

	if (it->to.mode == GIT_FILEMODE_LINK)
		return store_raw(h, it, reterr);
	r = cleaner_kind(h->cleaner, it->path, &kind, &filter, reterr);
	if (r < 0)
		return r;
	switch (kind) {
	case CLEAN_RAW:
		break;
	case CLEAN_CONVERT:
		return store_converted(h, it, reterr);
	case CLEAN_LFS:
		if (h->strict)
			return store_lfs(h, it, reterr);
		break;
	case CLEAN_FILTER:
		if (h->strict)
			return err_set_id(
				reterr, -EOPNOTSUPP, "Unsupported",
				"'%s' would have to go through '%s' (.gitattributes), which is not "
				"run here: commit it in the view",
				it->path, filter);
		break;
	}
	return store_raw(h, it, reterr);
}
