/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file, three versions. Guarantees: (1) bytes with a NUL in their first 8,000, and files over
 * 1 GiB, are never merged by line (as in git); (2) a result has no conflict markers: what is not clean
 * is a conflict; (3) no driver or filter is ever run.
 */
#include "merge_file.h"

#include <errno.h>
#include <string.h>

#include "odb.h"
#include "plain_merge.h"

enum { BINARY_LOOK = 8000 };
static const size_t line_max = (size_t)1 << 30;

enum merge_driver merge_driver_of(const char *value)
{
	switch (git_attr_value(value)) {
	case GIT_ATTR_VALUE_UNSPECIFIED:
	case GIT_ATTR_VALUE_TRUE:
		return MERGE_DRIVER_TEXT;
	case GIT_ATTR_VALUE_FALSE:
		return MERGE_DRIVER_BINARY;
	case GIT_ATTR_VALUE_STRING:
		break;
	}
	if (strcmp(value, "text") == 0)
		return MERGE_DRIVER_TEXT;
	if (strcmp(value, "union") == 0)
		return MERGE_DRIVER_UNION;
	return strcmp(value, "binary") == 0 ? MERGE_DRIVER_BINARY : MERGE_DRIVER_CUSTOM;
}

static bool is_binary(const git_blob *b)
{
	size_t n = b ? (size_t)git_blob_rawsize(b) : 0;

	if (n >= line_max)
		return true;
	return n && memchr(git_blob_rawcontent(b), 0, n < BINARY_LOOK ? n : BINARY_LOOK);
}

static git_merge_file_input input_of(const git_blob *b)
{
	git_merge_file_input in = GIT_MERGE_FILE_INPUT_INIT;

	in.ptr = b ? git_blob_rawcontent(b) : "";
	in.size = b ? (size_t)git_blob_rawsize(b) : 0;
	return in;
}

static int merge_lines(git_repository *git, enum merge_driver driver, git_blob *const b[3],
		       struct merge_file *ret)
{
	git_merge_file_options opts = GIT_MERGE_FILE_OPTIONS_INIT;
	git_merge_file_input base = input_of(b[0]), ours = input_of(b[1]), theirs = input_of(b[2]);
	const git_merge_file_input *in[] = {&base, &ours, &theirs};
	struct text t[3];
	git_merge_file_result out = {0};
	int r;

	opts.favor = driver == MERGE_DRIVER_UNION ? GIT_MERGE_FILE_FAVOR_UNION
						  : GIT_MERGE_FILE_FAVOR_NORMAL;
	r = git_merge_file(&out, &base, &ours, &theirs, &opts);
	if (r < 0)
		return r;
	ret->by_line = true;
	if (out.automergeable) {
		r = git_blob_create_from_buffer(&ret->to.oid, git, out.ptr ? out.ptr : "", out.len);
		for (int s = 0; s < 3; s++)
			t[s] = (struct text){in[s]->ptr, in[s]->size};
		if (r == 0)
			ret->certain = plain_merge(t, (struct text){out.ptr, out.len}) > 0;
	} else {
		ret->to.mode = 0;
		ret->kind = "content";
		ret->why = "has lines that both sides changed differently";
	}
	git_merge_file_result_free(&out);
	return r;
}

static int merge_content(git_repository *git, enum merge_driver driver,
			 const struct merge_both *file, struct merge_file *ret)
{
	const struct tree_entry *e[3] = {&file->base, &file->ours, &file->theirs};
	git_blob *b[3] = {0};
	int r = 0;

	for (int i = 0; r == 0 && i < 3; i++)
		if (e[i]->mode)
			r = git_blob_lookup(&b[i], git, &e[i]->oid);
	if (r == 0 && (is_binary(b[0]) || is_binary(b[1]) || is_binary(b[2]))) {
		ret->to.mode = 0;
		ret->kind = "binary";
		ret->why = "is not text and was changed on both sides";
	} else if (r == 0) {
		r = merge_lines(git, driver, b, ret);
	}
	for (int i = 0; i < 3; i++)
		git_blob_free(b[i]);
	return r;
}

int merge_file(git_repository *git, enum merge_driver driver, const struct merge_both *file,
	       struct merge_file *ret, struct err *reterr)
{
	const struct tree_entry *b = &file->base, *o = &file->ours, *t = &file->theirs;
	bool had = b->mode != 0;
	int r;

	*ret = (struct merge_file){.to = *o};
	if (had && o->mode == b->mode)
		ret->to.mode = t->mode;
	if (git_oid_equal(&o->oid, &t->oid) || (had && git_oid_equal(&t->oid, &b->oid)))
		return 0;
	if (had && git_oid_equal(&o->oid, &b->oid)) {
		ret->to.oid = t->oid;
		return 0;
	}
	if (driver == MERGE_DRIVER_BINARY || driver == MERGE_DRIVER_CUSTOM) {
		ret->to.mode = 0;
		ret->kind = driver == MERGE_DRIVER_BINARY ? "binary" : "content";
		ret->why =
			driver == MERGE_DRIVER_BINARY
				? "is not to be merged by line (attribute merge) and was changed on both sides"
				: "has a merge driver of its own (attribute merge), which is never run";
		return 0;
	}
	r = merge_content(git, driver, file, ret);
	return r < 0 ? git_errno(r, reterr, "merging '%s'", file->path) : 0;
}
