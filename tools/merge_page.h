/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What stands around every page of merge_html.h: style, legend, and the keys. */
extern const char merge_page_head[], merge_page_tail[];
