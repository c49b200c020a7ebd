#include "explain/cost.h"

#include <fmt/format.h>

#include <cmath>
#include <string_view>

#include "transforms/feature_transform.h"

namespace stamp {

namespace {

bool power_of_two(std::int64_t n) {
  return n > 0 && (n & (n - 1)) == 0;
}

double dct_operations(std::int64_t n) {
  if (n < 2) return 0;
  const auto s = static_cast<double>(n);
  if (power_of_two(n)) return 2.5 * s * std::log2(s);
  double m = 1;
  while (m < 2 * s - 1) m *= 2;
  return 5 * m * std::log2(m);
}

// Rows that the levels of a Haar transform touch; an odd one's last row is carried along untouched.
double haar_rows(std::int64_t tokens, std::int64_t levels) {
  double rows = 0;
  for (std::int64_t n = tokens, l = 0; l < levels && n > 1; ++l) {
    rows += static_cast<double>(n / 2 * 2);
    n = (n + 1) / 2;
  }
  return rows;
}

// Order of the base matrix inside the Hadamard matrix of size n, as its own name has it: "hadamard 36 x 16".
std::int64_t base_order(std::int64_t n) {
  static constexpr std::size_t prefix = std::string_view("hadamard ").size();
  return power_of_two(n) ? 1 : std::stoll(hadamard(n)->name().substr(prefix));
}

struct Factors {
  std::int64_t left, right;
};
// As the trainer chooses them: the closest divisors of equal parity, of any parity where there are none.
Factors kronecker_factors(std::int64_t n) {
  Factors closest{1, n}, equal{0, 0};
  for (std::int64_t d = 1; d * d <= n; ++d) {
    if (n % d != 0) continue;
    closest = {d, n / d};
    if ((d + n / d) % 2 == 0) equal = closest;
  }
  return equal.left > 0 ? equal : closest;
}

}  // namespace

double left_operations(const std::string& transform, std::int64_t tokens, std::int64_t levels, std::int64_t height,
                       std::int64_t width) {
  const auto s = static_cast<double>(tokens);
  if (transform == "identity" || tokens < 2) return 0;
  if (transform == "haar") return 2 * haar_rows(tokens, levels);
  if (transform == "haar_packets") return 2 * s * static_cast<double>(levels);
  if (transform == "haar2d") {
    double rows = 0;
    for (std::int64_t l = 0; l < levels; ++l) rows += s / std::pow(4, static_cast<double>(l));
    return 3 * rows;
  }
  if (transform == "dct") return dct_operations(tokens);
  if (transform == "dct2d")
    return static_cast<double>(height) * dct_operations(width) + static_cast<double>(width) * dct_operations(height);
  if (transform == "wht") return s * std::log2(s) + s;
  if (transform == "klt") return 2 * s * s;
  return -1;
}

double rotation_operations(std::int64_t n, bool hadamard) {
  const auto d = static_cast<double>(n);
  if (n < 2) return 0;
  if (!hadamard || !hadamard_exists(n)) return 2 * d * d;
  const auto k = static_cast<double>(base_order(n));
  return d * (k - 1 + std::log2(d / k) + 1);
}

std::string rotation_name(std::int64_t n, bool hadamard) {
  if (!hadamard || !hadamard_exists(n)) return fmt::format("random orthogonal {0} x {0}", n);
  const std::int64_t k = base_order(n);
  return k == 1 ? fmt::format("Hadamard {}", n) : fmt::format("Hadamard {} x {}", k, n / k);
}

double kronecker_operations(std::int64_t n) {
  const Factors f = kronecker_factors(n);
  return 2 * static_cast<double>(n) * static_cast<double>(f.left + f.right);
}

std::string kronecker_name(std::int64_t n) {
  const Factors f = kronecker_factors(n);
  return fmt::format("learned {} ⊗ {}", f.left, f.right);
}

}  // namespace stamp
