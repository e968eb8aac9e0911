// SPDX-License-Identifier: Apache-2.0
/* Says as whom it runs: installed setuid root, it tells whether that had an effect. */
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	return printf("Effective uid: %d\n", (int)geteuid()) < 0;
}
