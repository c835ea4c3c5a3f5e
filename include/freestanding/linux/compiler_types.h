/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's uapi headers include this before they are installed; users never see it. */
