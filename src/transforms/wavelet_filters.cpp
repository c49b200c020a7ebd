#include "transforms/wavelet_filters.h"

#include "base/error.h"
#include "base/text.h"

namespace stamp {

std::vector<double> WaveletFilter::high() const {
  std::vector<double> g(low.rbegin(), low.rend());
  for (std::size_t t = 1; t < g.size(); t += 2) g[t] = -g[t];
  return g;
}

std::span<const WaveletFilter> wavelet_filters() {
  // Spectral factors of the half-band polynomial in 60 digits (scripts/reference/wavelet_filters.py).
  static const std::vector<WaveletFilter> filters{
      {"db2", 2, {0.48296291314453414, 0.83651630373780791, 0.22414386804201338, -0.12940952255126038}},
      {"db3",
       3,
       {0.33267055295008262, 0.80689150931109258, 0.45987750211849157, -0.13501102001025459, -0.085441273882026662,
        0.035226291885709537}},
      {"db4",
       4,
       {0.2303778133088965, 0.71484657055291565, 0.63088076792985891, -0.027983769416859854, -0.18703481171909308,
        0.030841381835560764, 0.0328830116668852, -0.010597401785069032}},
      {"sym4",
       4,
       {0.032223100604051468, -0.012603967262031304, -0.099219543576633533, 0.29785779560530605, 0.80373875180513208,
        0.49761866763277499, -0.029635527646002492, -0.075765714789502213}},
      {"sym6",
       6,
       {-0.0078007083250323804, 0.0017677118642540077, 0.044724901770781385, -0.021060292512370848,
        -0.072637522786376583, 0.33792942172816583, 0.787641141028651, 0.49105594192797373, -0.048311742585698055,
        -0.11799011114852003, 0.0034907120842221625, 0.015404109327044824}},
      {"sym8",
       8,
       {0.0018899503327676892, -0.00030292051472413308, -0.014952258337062199, 0.0038087520138944895,
        0.049137179673730287, -0.027219029917103486, -0.051945838107881801, 0.36444189483617894, 0.77718575169962803,
        0.48135965125905339, -0.061273359067811078, -0.14329423835127266, 0.0076074873249766082, 0.031695087811525991,
        -0.00054213233180001069, -0.0033824159510050026}},
  };
  return filters;
}

const WaveletFilter& wavelet_filter(const std::string& name) {
  std::vector<std::string> names;
  for (const WaveletFilter& filter : wavelet_filters()) {
    if (filter.name == name) return filter;
    names.push_back(filter.name);
  }
  throw TrialError("refused",
                   "unknown wavelet \"" + name + "\"" + did_you_mean(name, names) + "; known: " + join(names, ", "));
}

}  // namespace stamp
