/* SPDX-License-Identifier: Apache-2.0 */
#include "evidence.h"

#include <math.h>

/* From so many on a repository's own record speaks for itself, and a part of a record for its files. */
enum { OWN_ENOUGH = EVIDENCE_ENOUGH, CELL_ENOUGH = EVIDENCE_ENOUGH };

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

static double threshold(unsigned int cost_of_wrong)
{
	return (double)cost_of_wrong / (cost_of_wrong + 1);
}

bool evidence_suffices(struct evidence e, unsigned int cost_of_wrong)
{
	return evidence_lower(e) > threshold(cost_of_wrong);
}

struct evidence evidence_of(const char *resolver, const char *language, enum path_class class,
			    const struct records *own, const struct records *shipped,
			    unsigned int cost_of_wrong)
{
	struct evidence finest = {0};

	for (int scope = RECORD_CELL; scope < RECORD_SCOPES; scope++) {
		enum record_scope at = (enum record_scope)scope;
		struct evidence e = records_sum(own, resolver, language, class, at);

		if (e.fired < OWN_ENOUGH) {
			struct evidence others =
				records_sum(shipped, resolver, language, class, at);

			e.fired += others.fired;
			e.right += others.right;
		}
		if (e.fired < CELL_ENOUGH && at != RECORD_ALL)
			continue;
		if (evidence_suffices(e, cost_of_wrong))
			return e;
		if (!finest.fired)
			finest = e;
		/* Too short to tell, or bad? */
		if (e.fired && (double)e.right / e.fired <= threshold(cost_of_wrong))
			break;
	}
	return finest;
}
