/* The checks of check.c: returns the number of the first that failed, or 0, and how many outputs differ. */
int check(unsigned *differing);

/* One call of run. */
void call_once(void);
