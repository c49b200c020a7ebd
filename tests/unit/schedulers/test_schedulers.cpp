// Schedules and steps against stored results of the reference classes (specification models 17.1, 18.4).
#include <cmath>
#include <filesystem>
#include <map>
#include <stdexcept>

#include "base/files.h"
#include "formats/json_text.h"
#include "schedulers/scheduler.h"
#include "support/catch.h"

using namespace stamp;

namespace {

Json vp_config() {
  return {{"_class_name", "DPMSolverMultistepScheduler"}};
}
Json flow_config() {
  return {{"_class_name", "DPMSolverMultistepScheduler"},
          {"prediction_type", "flow_prediction"},
          {"use_flow_sigmas", true},
          {"flow_shift", 3.0}};
}
Json euler_config() {
  return {{"_class_name", "FlowMatchEulerDiscreteScheduler"}, {"shift", 3.0}};
}
Json ddim_config() {
  return {{"_class_name", "DDIMScheduler"}, {"clip_sample", false}};
}
Json scm_config() {
  return {{"_class_name", "SCMScheduler"}};
}

// Samples after every step from 1, with a model whose output is 0.5 x + 0.01 i.
std::vector<double> toy_trajectory(Scheduler& scheduler) {
  std::vector<float> x{1};
  std::vector<double> out;
  for (std::int64_t i = 0; i < scheduler.steps(); ++i) {
    const std::vector<float> output{0.5F * x[0] + 0.01F * static_cast<float>(i)};
    const std::vector<float> noise{0.25F};
    scheduler.step(i, output, x, noise);
    out.push_back(x[0]);
  }
  return out;
}

double gap(const std::vector<double>& ours, const std::vector<double>& reference) {
  REQUIRE(ours.size() == reference.size());
  double top = 0;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const double d = std::abs(ours[i] - reference[i]) / std::max(1.0, std::abs(reference[i]));
    if (!(d <= top)) top = d;  // NaN counts as the largest
  }
  return top;
}

}  // namespace

TEST_CASE("Timesteps are those of the stored runs, noise levels and trajectories within 1e-5") {
  const auto path = std::filesystem::path(STAMP_SOURCE_DIR) / ".." / "shared" / "fixtures" / "schedulers.json";
  if (!std::filesystem::exists(path)) {
    WARN("skipped: " + path.string() + " is not there");
    return;
  }
  const Json runs = parse_json(read_file(path.string()), "schedulers.json").at("runs");
  const std::map<std::string, Json> configs = {{"dpmpp2m_vp_", vp_config()},
                                               {"dpmpp2m_flow3_", flow_config()},
                                               {"flow_euler3_", euler_config()},
                                               {"ddim_", ddim_config()}};
  int checked = 0;
  for (const auto& [name, run] : runs.items()) {
    for (const auto& [start, config] : configs) {
      if (name.rfind(start, 0) != 0) continue;
      INFO(name);
      const auto scheduler = make_scheduler(config, std::stoll(name.substr(start.size())));
      // Times of Euler's steps are float32 numbers; the others are whole.
      CHECK(scheduler->timesteps() == run.at("timesteps").get<std::vector<double>>());
      CHECK(gap(scheduler->sigmas(), run.at("sigmas").get<std::vector<double>>()) < 1e-6);
      CHECK(gap(toy_trajectory(*scheduler), run.at("trajectory").get<std::vector<double>>()) < 1e-5);
      CHECK(scheduler->init_noise_sigma() == 1);
      ++checked;
    }
  }
  CHECK(checked == static_cast<int>(runs.size()));
  CHECK(checked == 16);
}

TEST_CASE("DPM-Solver++ with noise prediction has the specification's times, noise levels and end") {
  const auto twenty = make_scheduler(vp_config(), 20);
  CHECK(twenty->timesteps() == std::vector<double>{999, 949, 899, 849, 799, 749, 699, 649, 599, 549,
                                                   500, 450, 400, 350, 300, 250, 200, 150, 100, 50});
  CHECK(twenty->sigmas()[19] == Approx(0.17601).epsilon(1e-5));
  CHECK(twenty->prediction() == Prediction::epsilon);
  CHECK(toy_trajectory(*twenty).back() == Approx(8.138177).epsilon(1e-6));
  CHECK(toy_trajectory(*make_scheduler(vp_config(), 14)).back() == Approx(8.358130).epsilon(1e-6));
  const auto five = make_scheduler(vp_config(), 5);
  CHECK(gap(five->sigmas(), {157.407257, 25.528482, 6.135209, 2.041087, 0.723591, 0}) < 1e-6);
  CHECK(gap(toy_trajectory(*five), {3.580352, 7.509158, 11.245457, 12.333540, 10.732563}) < 1e-6);
}

TEST_CASE("Flow matching with shift 3 has the specification's times, noise levels and ends") {
  const auto twenty = make_scheduler(flow_config(), 20);
  CHECK(twenty->timesteps() == std::vector<double>{999, 982, 963, 944, 922, 899, 874, 847, 817, 785,
                                                   749, 710, 666, 617, 562, 499, 428, 345, 249, 136});
  CHECK(twenty->prediction() == Prediction::flow);
  CHECK(twenty->sigmas()[19] == Approx(0.136240).epsilon(1e-5));
  CHECK(toy_trajectory(*twenty).back() == Approx(0.493738).epsilon(2e-6));
  CHECK(toy_trajectory(*make_scheduler(flow_config(), 14)).back() == Approx(0.526000).epsilon(2e-6));
  CHECK(toy_trajectory(*make_scheduler(flow_config(), 5)).back() == Approx(0.561279).epsilon(2e-6));
  const auto euler = make_scheduler(euler_config(), 5);
  CHECK(gap(euler->sigmas(), {1, 0.900359, 0.751121, 0.502985, 0.008929, 0}) < 1e-6);
  CHECK(toy_trajectory(*euler).back() == Approx(0.557528).epsilon(2e-6));
  CHECK(toy_trajectory(*make_scheduler(euler_config(), 20)).back() == Approx(0.495973).epsilon(2e-6));
  CHECK(make_scheduler(euler_config(), 20)->sigmas()[19] == Approx(0.008929).epsilon(1e-4));
}

TEST_CASE("DDIM has the specification's times and ends") {
  const auto fifty = make_scheduler(ddim_config(), 50);
  CHECK(fifty->timesteps().front() == 980);
  CHECK(fifty->timesteps().back() == 0);
  CHECK(fifty->sigmas().empty());
  CHECK(toy_trajectory(*fifty).back() == Approx(7.021601).epsilon(1e-6));
  CHECK(toy_trajectory(*make_scheduler(ddim_config(), 5)).back() == Approx(5.312491).epsilon(1e-6));
}

TEST_CASE("DDIM clips the predicted data unless told otherwise") {
  Json config = ddim_config();
  config.erase("clip_sample");
  std::vector<float> x{3, 0.001F};
  const auto scheduler = make_scheduler(config, 1);  // time 0: one step leads to the data itself
  scheduler->step(0, std::vector<float>{0, 0}, x);
  CHECK(x[0] == 1.0F);
  CHECK(x[1] == Approx(0.001 / std::sqrt(1 - 1e-4)));
}

TEST_CASE("SCM mixes fresh noise between its steps and ends in the predicted data") {
  const auto two = make_scheduler(scm_config(), 2);
  CHECK(two->prediction() == Prediction::trigflow);
  CHECK(gap(two->timesteps(), {1.57080, 1.3}) < 1e-7);
  CHECK(two->data_scale() == 0.5);
  CHECK(two->needs_noise(0));
  CHECK_FALSE(two->needs_noise(1));
  std::vector<float> x{0.8F};
  two->step(0, std::vector<float>{-0.4F}, x, std::vector<float>{2});
  const double data = std::cos(1.57080) * 0.8 + std::sin(1.57080) * 0.4;
  const double next = std::cos(1.3) * data + std::sin(1.3) * 0.5 * 2;
  CHECK(x[0] == Approx(next).epsilon(1e-6));
  two->step(1, std::vector<float>{0.3F}, x);
  CHECK(x[0] == Approx(std::cos(1.3) * next - std::sin(1.3) * 0.3).margin(1e-6));

  const auto four = make_scheduler(scm_config(), 4);
  CHECK(gap(four->timesteps(), {1.5708, 1.1781, 0.7854, 0.3927}) < 1e-6);
}

TEST_CASE("Every element of a sample goes its own way") {
  for (const Json& config : {vp_config(), flow_config(), euler_config(), ddim_config()}) {
    const auto batch = make_scheduler(config, 6), alone = make_scheduler(config, 6);
    std::vector<float> all{1, -2, 0.5F};
    for (std::int64_t i = 0; i < 6; ++i) {
      std::vector<float> output;
      for (const float x : all) output.push_back(std::sin(x + static_cast<float>(i)));
      batch->step(i, output, all);
    }
    std::vector<float> one{-2};
    for (std::int64_t i = 0; i < 6; ++i)
      alone->step(i, std::vector<float>{std::sin(one[0] + static_cast<float>(i))}, one);
    CHECK(one[0] == all[1]);
  }
}

TEST_CASE("A second run from the first step starts anew") {
  const auto scheduler = make_scheduler(vp_config(), 7);
  const std::vector<double> first = toy_trajectory(*scheduler);
  CHECK(toy_trajectory(*scheduler) == first);
}

TEST_CASE("A model that knows the data is followed to it in any number of steps") {
  // The exact prediction for data d: whatever the order, the last step leads to d.
  for (const std::int64_t steps : {1, 2, 3, 9, 40}) {
    const float d = 0.75F;
    const auto scheduler = make_scheduler(flow_config(), steps);
    std::vector<float> x{-1.5F};
    for (std::int64_t i = 0; i < steps; ++i) {
      const auto sigma = static_cast<float>(scheduler->sigmas()[static_cast<std::size_t>(i)]);
      scheduler->step(i, std::vector<float>{(x[0] - d) / sigma}, x);
    }
    CHECK(x[0] == Approx(d).epsilon(1e-5));
  }
}

TEST_CASE("Steps out of order, spans that differ and missing noise are misuse") {
  const auto scheduler = make_scheduler(vp_config(), 3);
  std::vector<float> x{1, 2};
  const std::vector<float> two{0, 0}, three{0, 0, 0};
  CHECK_THROWS_AS(scheduler->step(1, two, x), std::logic_error);
  CHECK_THROWS_AS(scheduler->step(0, three, x), std::logic_error);
  scheduler->step(0, two, x);
  CHECK_THROWS_AS(scheduler->step(2, two, x), std::logic_error);
  scheduler->step(1, two, x);
  scheduler->step(2, two, x);
  CHECK_THROWS_AS(scheduler->step(3, two, x), std::logic_error);
  CHECK_THROWS_AS(scheduler->step(-1, two, x), std::logic_error);
  const auto scm = make_scheduler(scm_config(), 2);
  CHECK_THROWS_AS(scm->step(0, two, x), std::logic_error);
}
