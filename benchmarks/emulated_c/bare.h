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

/* "failed differing\n" in decimal digits; returns its length. */
static unsigned result(char *text)
{
    unsigned differing = 0, length = 0;
    char digits[12];
    unsigned count = 0;
    text[length++] = (char)('0' + check(&differing));
    text[length++] = ' ';
    do {
        digits[count++] = (char)('0' + differing % 10);
        differing /= 10;
    } while (differing);
    while (count) text[length++] = digits[--count];
    text[length++] = '\n';
    text[length] = 0;
    return length;
}
