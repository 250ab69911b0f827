/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzzer of the argument memfd's decoder: what is accepted is whole, bounded, and in its bytes. */
#include "tests/lib/fuzz_main.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/argv.h"
#include "protocol/wire.h"

#define MUST(cond)               \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct f4_argv a = F4_ARGV_INIT;

	if (f4_argv_decode(data, size, &a) != 0)
		return 0;
	MUST(a.argc >= 1 && a.argc <= F4_WIRE_ARGS_COUNT_MAX && a.argv[a.argc] == NULL);
	for (unsigned int i = 0; i < a.argc; i++) {
		MUST(a.argv[i] >= a.bytes && a.argv[i] < a.bytes + size);
		MUST(a.argv[i] + strlen(a.argv[i]) < a.bytes + size);
	}
	f4_argv_done(&a);
	return 0;
}
