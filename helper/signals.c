/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals of a helper; the contract is in signals.h. */
#include "helper/signals.h"

#include <stddef.h>

#include "protocol/base/cleanup.h"

static void on_signal(int sig)
{
	/* That it came is enough: it ends the wait that lets it through. */
}

void f4_signals_init(sigset_t *ret_wait_mask)
{
	static const int ending[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction act = { .sa_handler = on_signal };
	sigset_t block;

	sigemptyset(&block);
	for (size_t i = 0; i < F4_ARRAY_LEN(ending); i++) {
		sigaddset(&block, ending[i]);
		(void)sigaction(ending[i], &act, NULL); /* fails for no signal of the list */
	}
	(void)sigprocmask(SIG_BLOCK, &block, ret_wait_mask);
	for (size_t i = 0; i < F4_ARRAY_LEN(ending); i++)
		sigdelset(ret_wait_mask, ending[i]);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGCHLD, SIG_DFL); /* an inherited SIG_IGN would reap behind our back */
}
