/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints the name of each row of the option table, one a line, for cases that walk it. */
#include <stdio.h>

#include "protocol/opts.h"

int main(void)
{
	for (size_t i = 0; f4_opts_name(i); i++)
		if (puts(f4_opts_name(i)) == EOF)
			return 1;
	return 0;
}
