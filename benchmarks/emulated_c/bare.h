/* What a program without a C library needs. The compiler may call the two functions by itself. */
#include <stddef.h>
#include "check.h"

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memset(void *to, int value, size_t bytes);

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    for (size_t k = 0; k < bytes; k++) ((unsigned char *)to)[k] = ((const unsigned char *)from)[k];
    return to;
}

void *memset(void *to, int value, size_t bytes)
{
    for (size_t k = 0; k < bytes; k++) ((unsigned char *)to)[k] = (unsigned char)value;
    return to;
}

static unsigned decimal(char *text, unsigned length, unsigned value)
{
    char digits[12];
    unsigned count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    while (count) text[length++] = digits[--count];
    return length;
}

/* "failed differing stack\n" in decimal digits; returns its length. */
static unsigned result(char *text, unsigned stack(void))
{
    unsigned differing = 0, length = decimal(text, 0, (unsigned)check(&differing));
    text[length++] = ' ';
    length = decimal(text, length, differing);
    text[length++] = ' ';
    length = decimal(text, length, stack());
    text[length++] = '\n';
    text[length] = 0;
    return length;
}
