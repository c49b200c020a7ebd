// One include for Catch2 2 and 3. Tests that see LibTorch include it before this header:
// both define CHECK, and Catch's must win.
#pragma once
#ifdef CHECK
#undef CHECK
#endif
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif
