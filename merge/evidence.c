/* SPDX-License-Identifier: Apache-2.0 */
#include "evidence.h"

#include <math.h>

/* From so many on a repository's own record speaks for itself. */
enum { OWN_ENOUGH = 30 };

/* E. B. Wilson: Probable inference, the law of succession, and statistical inference, 1927. */
double evidence_lower(struct evidence e)
{
	const double z = 1.959964, n = e.fired;
	double p;

	if (!e.fired)
		return 0;
	p = (double)e.right / n;
	return (p + z * z / (2 * n) - z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))) /
	       (1 + z * z / n);
}

struct evidence evidence_of(const struct resolver *r, struct evidence own)
{
	if (own.fired >= OWN_ENOUGH)
		return own;
	return (struct evidence){own.fired + r->fired, own.right + r->right};
}

bool evidence_suffices(struct evidence e, unsigned int cost_of_wrong)
{
	return evidence_lower(e) > (double)cost_of_wrong / (cost_of_wrong + 1);
}
