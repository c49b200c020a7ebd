// Candidates of a transform for every slot: names, what they come to at a length, and what is refused.
#include "transforms/per_slot.h"

#include "base/error.h"
#include "support/catch.h"
#include "transforms/haar.h"

using namespace stamp;

namespace {

const PluginInfo& info() {
  for (const auto& p : sequence_transforms())
    if (p.info.name == per_slot_name) return p.info;
  throw std::logic_error("per_slot is not registered");
}

SequenceTransformRequest request(std::int64_t tokens, Json candidates = nullptr, std::int64_t high = 0) {
  SequenceTransformRequest r;
  r.tokens = tokens;
  r.high_tokens = high;
  r.options = {{"candidates", std::move(candidates)}};
  return r;
}

SequenceTransformRequest on_grid(std::int64_t height, std::int64_t width, Json candidates = nullptr) {
  SequenceTransformRequest r = request(height * width, std::move(candidates));
  r.grid_height = height;
  r.grid_width = width;
  return r;
}

std::vector<std::string> labels(const SequenceTransformRequest& r) {
  std::vector<std::string> names;
  for (const TransformCandidate& c : transform_candidates(r)) names.push_back(c.label);
  return names;
}

std::string reason(Json candidates, std::int64_t tokens = 64, int samples = 8, bool grid = false) {
  PlanFacts facts;
  facts.tokens = facts.context = tokens;
  facts.grid = grid;
  facts.calibration_samples = samples;
  facts.options = {{"candidates", std::move(candidates)}};
  return info().refuse(facts);
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("auto: no transform, Haar with every number of levels, cosines; on a grid those along both sides") {
  CHECK(labels(request(8)) == Names{"identity", "haar/1", "haar/2", "haar/3", "dct"});
  CHECK(labels(request(9)) == Names{"identity", "haar/1", "haar/2", "haar/3", "haar/4", "dct"});
  CHECK(labels(request(1)) == Names{"identity", "dct"});
  CHECK(labels(request(2047)).size() == 2 + 11);
  CHECK(labels(on_grid(8, 4)) == Names{"identity", "haar2d/1", "haar2d/2", "dct2d"});
  CHECK(labels(on_grid(5, 4)) == Names{"identity", "dct2d"});
  SequenceTransformRequest bare = request(8);
  bare.options = Json::object();
  CHECK(labels(bare) == labels(request(8)));
}

TEST_CASE("a list is put in order, cheapest first, and names every transform once") {
  CHECK(labels(request(64, {"dct", "haar/3", "identity", "haar/1"})) == Names{"identity", "haar/1", "haar/3", "dct"});
  // 8 high rows of 64: three levels are what auto means.
  CHECK(labels(request(64, {"haar", "haar/3", "wht"}, 8)) == Names{"haar/3", "wht"});
  CHECK(labels(request(64, {"haar", "haar/4"}, 8)) == Names{"haar/3", "haar/4"});
  // Too short for a level: rows stay as they are.
  CHECK(labels(request(12, {"haar", "dct"}, 8)) == Names{"identity", "dct"});
  CHECK(labels(request(12, {"haar", "identity"}, 8)) == Names{"identity"});
  CHECK(labels(on_grid(8, 8, {"haar2d", "haar"})) == Names{"identity", "haar2d"});
  const auto wavelet = transform_candidates(request(64, Json::array({"wavelet/2"})))[0];
  CHECK(wavelet.transform == "wavelet");
  CHECK(integer_option(wavelet.options, "levels") == 2);
  CHECK(text_option(wavelet.options, "family") == "sym4");  // complete
}

TEST_CASE("the transform of a slot is that of its candidate") {
  const auto candidates = transform_candidates(request(37));
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    SequenceTransformRequest chosen = request(37), alone = request(37);
    chosen.basis = std::make_shared<const std::vector<float>>(1, static_cast<float>(i));
    alone.options = candidates[i].options;
    CHECK(make_sequence_transform(per_slot_name, chosen)->matrix() ==
          make_sequence_transform(candidates[i].transform, alone)->matrix());
  }
  for (const std::vector<float>& bad : std::vector<std::vector<float>>{{}, {-1}, {0.5f}, {8}, {0, 1}, {NAN}}) {
    SequenceTransformRequest r = request(37);  // 0 to 7
    r.basis = std::make_shared<const std::vector<float>>(bad);
    CHECK_THROWS_WITH(make_sequence_transform(per_slot_name, r), Catch::Contains("none of its 8 candidates"));
  }
  CHECK_THROWS_WITH(make_sequence_transform(per_slot_name, request(37)), Catch::Contains("calibration"));
  CHECK(needs_basis(per_slot_name));
}

TEST_CASE("candidates need no calibration themselves, and say what they need at a length") {
  const std::vector<std::string>& names = info().options[0].choices;
  const auto known = [&](const char* name) { return std::count(names.begin(), names.end(), name) == 1; };
  for (const char* name :
       {"identity", "haar", "haar/1", "haar/20", "dct", "wht", "wavelet/3", "haar2d/2", "dct_blocks"})
    CHECK(known(name));
  for (const char* name : {"klt", "haar_packets", "per_slot", "haar/0", "haar/21", "dct/1"}) CHECK_FALSE(known(name));
  CHECK(names.front() == "identity");

  CHECK(reason(nullptr).empty());
  CHECK(reason({"identity", "haar/6", "dct"}).empty());
  CHECK(reason(Json::array({"haar/7"})).find("candidate haar/7: 64 tokens have at most 6") != std::string::npos);
  CHECK(reason({"identity", "wht"}, 63).find("candidate wht") != std::string::npos);
  CHECK(reason(Json::array({"haar2d"})).find("candidate haar2d") != std::string::npos);
  CHECK(reason({"haar2d/1", "dct2d"}, 64, 8, true).empty());
  CHECK(reason({"haar/3", "haar2d"}, 0, 8, true).empty());  // a grid whose size is not known yet
  CHECK(reason(nullptr, 64, 0).find("calibration") != std::string::npos);
  PlanFacts questions;
  questions.any_length = true;
  questions.calibration_samples = 8;
  CHECK(info().refuse(questions).find("one length") != std::string::npos);
}

TEST_CASE("a name that is no candidate comes back with the nearest one, whoever wrote it") {
  const auto words = [](const char* name) {
    try {
      transform_candidates(request(64, Json::array({name})));
    } catch (const TrialError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(words("haaar/3").find("did you mean \"haar/3\"") != std::string::npos);
  CHECK(words("haaar/3").find("haar/1 to haar/20") != std::string::npos);
  for (const char* name :
       {"", "/3", "haar/", "haar/x", "haar/-1", "dct/2", "klt", "per_slot", "haar/999", "haar/3/3"}) {
    INFO(name);
    CHECK(words(name).find("is no candidate") != std::string::npos);
    CHECK(reason(Json::array({name})).find("is no candidate") != std::string::npos);
  }
  // As an experiment's list is checked.
  const auto completed = [](Json given) {
    try {
      complete_options(info(), {{"candidates", std::move(given)}}, "here");
    } catch (const ConfigError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(completed({"identity", "haar/3"}).empty());
  CHECK(completed("auto").empty());
  for (const Json& bad : {Json("dct"), Json::array(), Json::array({"haar/99"}), Json::array({"dct", "dct"}),
                          Json::array({3}), Json::array({"klt"})})
    CHECK(completed(bad).find("a list of different names out of: identity, haar, haar/1 to haar/20") !=
          std::string::npos);
}
