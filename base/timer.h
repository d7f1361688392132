/* base/timer.h - wall-clock seconds for measuring. Never decides anything: clocks differ between ranks. */
#pragma once

/* Seconds since an arbitrary fixed moment, monotonic. */
double timer_seconds(void);
