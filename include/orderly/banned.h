/* Functions that are not used in our code, because each has a way to go wrong that review misses.
 *
 * The build includes this file before every file of ours. The headers that declare the functions
 * come first, so that only our own uses are caught: they fail to compile with the name of the
 * function in the message.
 */
#ifndef ORDERLY_BANNED_H
#define ORDERLY_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BANNED(function) banned_##function##_see_orderly_banned_h

/* Write without knowing the size of the target; use snprintf or memcpy with a length. */
#undef strcpy
#define strcpy(target, source) BANNED(strcpy)
#undef strcat
#define strcat(target, source) BANNED(strcat)
#undef stpcpy
#define stpcpy(target, source) BANNED(stpcpy)
#undef sprintf
#define sprintf(...) BANNED(sprintf)
#undef vsprintf
#define vsprintf(target, format, list) BANNED(vsprintf)

/* Leave the target without its final zero, or pad it; nobody remembers which. */
#undef strncpy
#define strncpy(target, source, size) BANNED(strncpy)
#undef strncat
#define strncat(target, source, size) BANNED(strncat)

/* Keep hidden state that two threads share; use strtok_r, gmtime_r. */
#undef strtok
#define strtok(text, separators) BANNED(strtok)
#undef gmtime
#define gmtime(time) BANNED(gmtime)
#undef localtime
#define localtime(time) BANNED(localtime)
#undef ctime
#define ctime(time) BANNED(ctime)
#undef asctime
#define asctime(time) BANNED(asctime)

/* Take any text for a number; parse digits and say what is wrong with them. */
#undef atoi
#define atoi(text) BANNED(atoi)
#undef atol
#define atol(text) BANNED(atol)
#undef atoll
#define atoll(text) BANNED(atoll)
#undef atof
#define atof(text) BANNED(atof)

/* Chance comes in by its port, so that a run can be repeated from its seed. */
#undef rand
#define rand() BANNED(rand)
#undef random
#define random() BANNED(random)

#endif
