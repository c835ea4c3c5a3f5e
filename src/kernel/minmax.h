/* SPDX-License-Identifier: GPL-2.0 */
/* What <algorithm> would give, had it a freestanding part: it wants long double. */
#ifndef COWMEM_MINMAX_H
#define COWMEM_MINMAX_H

namespace cowmem {

template <class T>
constexpr T min_of(T a, T b)
{
	return b < a ? b : a;
}

template <class T>
constexpr T max_of(T a, T b)
{
	return a < b ? b : a;
}

template <class T>
constexpr T clamp(T value, T low, T high)
{
	return min_of(max_of(value, low), high);
}

} /* namespace cowmem */

#endif /* COWMEM_MINMAX_H */
