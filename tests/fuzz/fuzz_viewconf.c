/* SPDX-License-Identifier: Apache-2.0 */
/* view.conf: any bytes are refused or understood; what is understood survives a round trip. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "viewconf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct viewconf a = {0}, b = {0};
	struct buf one = BUF_INIT, two = BUF_INIT;
	struct err e = ERR_INIT;

	if (viewconf_parse((const char *)data, size, &a, &e) == 0) {
		if (viewconf_format(&a, &one) < 0 ||
		    viewconf_parse(one.data, one.len, &b, &e) < 0 || viewconf_format(&b, &two) < 0)
			abort();
		if (one.len != two.len || memcmp(one.data, two.data, one.len) != 0)
			abort();
	}
	viewconf_release(&a);
	viewconf_release(&b);
	buf_release(&one);
	buf_release(&two);
	err_release(&e);
	return 0;
}
