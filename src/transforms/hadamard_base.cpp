#include "transforms/hadamard_base.h"

#include <array>
#include <bit>
#include <cstdlib>
#include <optional>

namespace stamp {
namespace {

// Base matrices are applied densely: beyond this a row would cost more than a dense rotation is worth.
constexpr std::int64_t largest_order = 2048;

using Square = std::vector<int>;  // row-major, entries +-1 (0 while building)

// q = p^k for an odd prime p.
struct PrimePower {
  std::int64_t p = 0;
  int k = 0;
};
std::optional<PrimePower> prime_power(std::int64_t q) {
  if (q < 3 || q % 2 == 0) return std::nullopt;
  std::int64_t p = 3;
  while (p * p <= q && q % p != 0) p += 2;
  if (p * p > q) p = q;
  int k = 0;
  std::int64_t rest = q;
  for (; rest % p == 0; rest /= p) ++k;
  return rest == 1 ? std::optional<PrimePower>({p, k}) : std::nullopt;
}

// GF(p^k) as polynomials over GF(p); an element is the number with these digits in base p.
class Field {
 public:
  explicit Field(PrimePower q) : p_(q.p), k_(q.k) {
    for (int i = 0; i < k_; ++i) size_ *= p_;
    if (k_ == 1) return;
    // The first monic x^k - (tail) without a factor: irreducible exactly when no two smaller monic polynomials
    // multiply to it; for k = 2 and 3 that is having no root, higher degrees are tried by division.
    for (std::int64_t tail = 1; tail < size_; ++tail) {
      modulus_ = digits(tail, k_);
      modulus_.push_back(1);
      if (irreducible()) return;
    }
  }
  std::int64_t size() const { return size_; }
  std::int64_t subtract(std::int64_t a, std::int64_t b) const {
    const auto x = digits(a, k_), y = digits(b, k_);
    std::vector<std::int64_t> d(x.size());
    for (std::size_t i = 0; i < d.size(); ++i) d[i] = (x[i] - y[i] + p_) % p_;
    return number(d);
  }
  std::int64_t multiply(std::int64_t a, std::int64_t b) const {
    const auto x = digits(a, k_), y = digits(b, k_);
    std::vector<std::int64_t> product(x.size() + y.size() - 1, 0);
    for (std::size_t i = 0; i < x.size(); ++i)
      for (std::size_t j = 0; j < y.size(); ++j) product[i + j] = (product[i + j] + x[i] * y[j]) % p_;
    if (k_ > 1) reduce(product, modulus_);
    product.resize(static_cast<std::size_t>(k_));
    return number(product);
  }
  // +1 for squares, -1 for the others, 0 for 0.
  std::vector<int> quadratic_character() const {
    std::vector<int> chi(static_cast<std::size_t>(size_), -1);
    for (std::int64_t a = 1; a < size_; ++a) chi[static_cast<std::size_t>(multiply(a, a))] = 1;
    chi[0] = 0;
    return chi;
  }

 private:
  std::vector<std::int64_t> digits(std::int64_t value, int count) const {
    std::vector<std::int64_t> d;
    for (int i = 0; i < count; ++i, value /= p_) d.push_back(value % p_);
    return d;
  }
  std::int64_t number(const std::vector<std::int64_t>& d) const {
    std::int64_t value = 0;
    for (std::size_t i = d.size(); i-- > 0;) value = value * p_ + d[i];
    return value;
  }
  // Remainder by a monic divisor.
  void reduce(std::vector<std::int64_t>& value, const std::vector<std::int64_t>& divisor) const {
    const std::size_t degree = divisor.size() - 1;
    for (std::size_t i = value.size(); i-- > degree;) {
      const std::int64_t lead = value[i];
      for (std::size_t j = 0; j <= degree; ++j)
        value[i - degree + j] = ((value[i - degree + j] - lead * divisor[j]) % p_ + p_) % p_;
    }
  }
  bool irreducible() const {
    std::int64_t count = p_;
    for (int degree = 1; 2 * degree <= k_; ++degree, count *= p_)
      for (std::int64_t tail = 0; tail < count; ++tail) {
        auto divisor = digits(tail, degree);
        divisor.push_back(1);
        auto rest = modulus_;
        reduce(rest, divisor);
        bool zero = true;
        for (const std::int64_t digit : rest) zero = zero && digit == 0;
        if (zero) return false;
      }
    return true;
  }

  std::int64_t p_;
  int k_;
  std::int64_t size_ = 1;
  std::vector<std::int64_t> modulus_;  // low degree first, monic
};

// chi(a - b), with the border row and column of the Paley constructions: S = [[0, 1^T], [-+1, J]].
Square bordered_jacobsthal(PrimePower q, int left_border) {
  const Field field(q);
  const std::vector<int> chi = field.quadratic_character();
  const std::int64_t n = field.size() + 1;
  Square s(static_cast<std::size_t>(n * n), 0);
  for (std::int64_t a = 1; a < n; ++a) {
    s[static_cast<std::size_t>(a)] = 1;
    s[static_cast<std::size_t>(a * n)] = left_border;
    for (std::int64_t b = 1; b < n; ++b)
      s[static_cast<std::size_t>(a * n + b)] = chi[static_cast<std::size_t>(field.subtract(a - 1, b - 1))];
  }
  return s;
}

Square paley_one(std::int64_t order) {
  const auto q = prime_power(order - 1);
  if (!q || (order - 1) % 4 != 3) return {};
  Square h = bordered_jacobsthal(*q, -1);
  for (std::int64_t i = 0; i < order; ++i) h[static_cast<std::size_t>(i * order + i)] += 1;
  return h;
}

Square paley_two(std::int64_t order) {
  if (order % 4 != 0) return {};
  const std::int64_t n = order / 2;
  const auto q = prime_power(n - 1);
  if (!q || (n - 1) % 4 != 1) return {};
  const Square s = bordered_jacobsthal(*q, 1);
  constexpr std::array<int, 4> zero{1, -1, -1, -1}, one{1, 1, 1, -1};
  Square h(static_cast<std::size_t>(order * order));
  for (std::int64_t a = 0; a < n; ++a)
    for (std::int64_t b = 0; b < n; ++b)
      for (std::int64_t i = 0; i < 4; ++i) {
        const int value = s[static_cast<std::size_t>(a * n + b)];
        h[static_cast<std::size_t>((2 * a + i / 2) * order + 2 * b + i % 2)] =
            value == 0 ? zero[static_cast<std::size_t>(i)] : value * one[static_cast<std::size_t>(i)];
      }
  return h;
}

// 172 = 4 x 43 by Williamson's array of four symmetric circulants; signs on the cosets of {1, 6, 7, 36, 37, 42}.
Square williamson_172() {
  constexpr std::int64_t n = 43, order = 4 * n;
  constexpr std::array<std::int64_t, 7> representatives{1, 2, 3, 4, 5, 9, 10};
  constexpr std::array<std::int64_t, 6> coset{1, 6, 7, 36, 37, 42};
  constexpr int signs[4][7] = {
      {1, 1, 1, 1, -1, -1, -1}, {1, 1, -1, -1, -1, -1, 1}, {1, -1, 1, -1, 1, -1, 1}, {-1, 1, 1, -1, -1, 1, 1}};
  std::array<std::array<int, n>, 4> first{};
  for (std::size_t c = 0; c < 4; ++c) {
    first[c][0] = 1;
    for (std::size_t r = 0; r < representatives.size(); ++r)
      for (const std::int64_t u : coset) first[c][static_cast<std::size_t>(representatives[r] * u % n)] = signs[c][r];
  }
  constexpr int letter[4][4] = {{0, 1, 2, 3}, {1, 0, 3, 2}, {2, 3, 0, 1}, {3, 2, 1, 0}};
  constexpr int sign[4][4] = {{1, 1, 1, 1}, {-1, 1, -1, 1}, {-1, 1, 1, -1}, {-1, -1, 1, 1}};
  Square h(static_cast<std::size_t>(order * order));
  for (std::int64_t i = 0; i < order; ++i)
    for (std::int64_t j = 0; j < order; ++j) {
      const std::int64_t a = i / n, b = j / n;
      h[static_cast<std::size_t>(i * order + j)] =
          sign[a][b] * first[static_cast<std::size_t>(letter[a][b])][static_cast<std::size_t>((j - i + order) % n)];
    }
  return h;
}

Square kronecker_product(const Square& a, std::int64_t na, const Square& b, std::int64_t nb) {
  const std::int64_t n = na * nb;
  Square h(static_cast<std::size_t>(n * n));
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      h[static_cast<std::size_t>(i * n + j)] =
          a[static_cast<std::size_t>(i / nb * na + j / nb)] * b[static_cast<std::size_t>(i % nb * nb + j % nb)];
  return h;
}

bool paley_one_exists(std::int64_t order) {
  return order % 4 == 0 && prime_power(order - 1).has_value();
}
bool paley_two_exists(std::int64_t order) {
  return order % 4 == 0 && (order / 2 - 1) % 4 == 1 && prime_power(order / 2 - 1).has_value();
}
// Without building anything.
bool constructible(std::int64_t order) {
  if (order < 1 || order > largest_order) return false;
  if (order <= 2 || order == 172) return true;
  if (order % 4 != 0) return false;
  if (paley_one_exists(order) || paley_two_exists(order)) return true;
  for (std::int64_t f = 2; f * f <= order; ++f)
    if (order % f == 0 && constructible(f) && constructible(order / f)) return true;
  return false;
}

}  // namespace

std::vector<int> base_hadamard(std::int64_t order) {
  if (!constructible(order)) return {};
  if (order == 1) return {1};
  if (order == 2) return {1, 1, 1, -1};
  if (paley_one_exists(order)) return paley_one(order);
  if (paley_two_exists(order)) return paley_two(order);
  if (order == 172) return williamson_172();
  for (std::int64_t f = 2; f * f <= order; ++f)
    if (order % f == 0 && constructible(f) && constructible(order / f))
      return kronecker_product(base_hadamard(f), f, base_hadamard(order / f), order / f);
  return {};
}

std::int64_t hadamard_base_order(std::int64_t n) {
  if (n < 1) return 0;
  const auto fits = [n](std::int64_t order) {
    return n % order == 0 && std::has_single_bit(static_cast<std::uint64_t>(n / order)) && constructible(order);
  };
  if (fits(1)) return 1;
  // The order of QuaRot's code (SpinQuant adds 44), less its trap: an order whose quotient is not a power of two is
  // passed over. 156 has no construction here.
  for (const std::int64_t order : {172, 156, 140, 108, 60, 52, 36, 28, 44, 40, 20, 12})
    if (fits(order)) return order;
  for (std::int64_t order = n >> std::countr_zero(static_cast<std::uint64_t>(n)); order <= largest_order; order *= 2)
    if (fits(order)) return order;
  return 0;
}

bool hadamard_exists(std::int64_t n) {
  return hadamard_base_order(n) > 0;
}

}  // namespace stamp
