/* A program of a system with a C library. */
#include <stdio.h>
#include "check.h"

int main(void)
{
    unsigned differing = 0;
    int failed = check(&differing);
    printf("%d %u 0\n", failed, differing);
    return 0;
}
