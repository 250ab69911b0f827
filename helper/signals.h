/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Signals of a helper that always cleans up: those that end it are blocked except while it waits,
 * and there they end the wait.
 */
#ifndef F4_HELPER_SIGNALS_H
#define F4_HELPER_SIGNALS_H

#include <signal.h>

/*
 * f4_signals_init - set that up, once, at the start of main.
 * @ret_wait_mask: the mask for ppoll(2) and the like, which lets the ending signals through
 */
void f4_signals_init(sigset_t *ret_wait_mask);

#endif
