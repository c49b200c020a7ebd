#include "config/fields.h"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>

#include "base/option_info.h"
#include "config/shift.h"

namespace stamp {
namespace {

// When a setting can change a result, in words (for the reference page) and as a test (for the canonical text).
struct Condition {
  std::string words;
  std::function<bool(const TrialSpec&)> holds;
};

bool weights_on(const TrialSpec& t) {
  return t.quantization.weights.bits < 16;
}
bool activations_on(const TrialSpec& t) {
  return t.quantization.activations.bits < 16;
}
bool cache_on(const TrialSpec& t) {
  return t.quantization.kv_cache.bits < 16;
}
bool any_rows_on(const TrialSpec& t) {
  return activations_on(t) || cache_on(t);
}
bool sequence_on(const TrialSpec& t) {
  return activations_on(t) || (cache_on(t) && t.quantization.kv_cache.transformed);
}
bool transforms(const TrialSpec& t) {
  return t.quantization.sequence.transform != "identity";
}

bool evaluates(const TrialSpec& t, const std::string& metric) {
  return std::find(t.evaluate.begin(), t.evaluate.end(), metric) != t.evaluate.end();
}
bool decodes(const TrialSpec& t) {
  return evaluates(t, "decode_perplexity");
}

Condition if_weights() {
  return {"weights.bits is below 16", weights_on};
}
Condition if_weight_groups() {
  return {"weights.bits is below 16 and granularity is group",
          [](const TrialSpec& t) { return weights_on(t) && t.quantization.weights.granularity == "group"; }};
}
Condition if_activations() {
  return {"activations.bits is below 16", activations_on};
}
Condition if_activation_groups() {
  return {"activations.bits is below 16 and granularity is group",
          [](const TrialSpec& t) { return activations_on(t) && t.quantization.activations.granularity == "group"; }};
}
Condition if_shifted() {
  return {"activations.bits is below 16 and the method is not hadanorm, which takes the mean off itself",
          [](const TrialSpec& t) { return activations_on(t) && t.quantization.method != "hadanorm"; }};
}
Condition if_cache() {
  return {"kv_cache.bits is below 16", cache_on};
}
Condition if_cache_transforms() {
  return {"kv_cache.bits is below 16 and transform is not identity",
          [](const TrialSpec& t) { return cache_on(t) && transforms(t); }};
}
Condition if_decoding() {
  return {"decode_perplexity is evaluated, or text generated", decodes};
}
Condition if_cache_decodes() {
  return {"tokens are decoded and kv_cache.bits is below 16",
          [](const TrialSpec& t) { return decodes(t) && cache_on(t); }};
}
Condition if_chunks_transform() {
  return {"tokens are decoded, kv_cache.bits is below 16, transformed is true and allocation is two_level",
          [](const TrialSpec& t) {
            return decodes(t) && cache_on(t) && t.quantization.kv_cache.transformed && transforms(t) &&
                   t.quantization.allocation.kind == "two_level";
          }};
}
Condition if_rows_decode() {
  return {"tokens are decoded and activations.bits or kv_cache.bits is below 16",
          [](const TrialSpec& t) { return decodes(t) && any_rows_on(t); }};
}
Condition if_rows() {
  return {"activations.bits or kv_cache.bits is below 16", any_rows_on};
}
Condition if_sequence() {
  return {"activations.bits is below 16, or kv_cache.bits is below 16 and transformed is true", sequence_on};
}
Condition if_transforms() {
  return {"transform is not identity, and (" + if_sequence().words + ")",
          [](const TrialSpec& t) { return sequence_on(t) && transforms(t); }};
}
Condition if_skips() {
  return {if_transforms().words + ", or activations are shifted",
          [](const TrialSpec& t) { return (sequence_on(t) && transforms(t)) || shifts_inputs(t.quantization); }};
}
Condition if_calibrated(const Catalog& catalog) {
  return {"the method, weight quantizer, transform, allocation or shift needs calibration",
          [&catalog](const TrialSpec& t) { return needs_calibration(t, catalog); }};
}
Condition if_calibrated_on_text(const Catalog& catalog) {
  return {if_calibrated(catalog).words + ", and no metric of images is evaluated",
          [&catalog](const TrialSpec& t) { return needs_calibration(t, catalog) && !reads(t, "images", catalog); }};
}
Condition if_drawn(const Catalog& catalog) {
  return {if_calibrated(catalog).words + ", and select is random or a metric of images is evaluated",
          [&catalog](const TrialSpec& t) {
            return needs_calibration(t, catalog) && (t.calibration.select == "random" || reads(t, "images", catalog));
          }};
}

Condition if_reads(const std::string& section, const Catalog& catalog) {
  return {section == "data"     ? "evaluate holds a metric of text windows"
          : section == "images" ? "evaluate holds a metric of images"
                                : "evaluate holds " + section,
          [&catalog, section](const TrialSpec& t) { return reads(t, section, catalog); }};
}

Condition if_evaluates(const std::string& metric) {
  return {"evaluate holds " + metric, [metric](const TrialSpec& t) { return evaluates(t, metric); }};
}

Condition if_image_activations(const Catalog& catalog) {
  return {"activations.bits is below 16 and evaluate holds a metric of images",
          [&catalog](const TrialSpec& t) { return activations_on(t) && reads(t, "images", catalog); }};
}

// 1.0 and 1 are one setting and must give one text.
Json number_json(double value) {
  if (std::floor(value) == value && std::fabs(value) < 9e15) return static_cast<std::int64_t>(value);
  return value;
}

const TrialSpec& default_trial() {
  static const TrialSpec trial;
  return trial;
}

template <class T>
constexpr bool is_optional = false;
template <class T>
constexpr bool is_optional<std::optional<T>> = true;

template <class T>
Json to_value(const T& member) {
  if constexpr (is_optional<T>)
    return member ? to_value(*member) : Json("auto");
  else if constexpr (std::is_same_v<T, double>)
    return number_json(member);
  else if constexpr (std::is_same_v<T, std::uint64_t>)
    return static_cast<std::int64_t>(member);
  else
    return Json(member);
}

template <class T>
T from_value(const Json& value) {
  if constexpr (is_optional<T>)
    return value == "auto" ? T() : T(value.get<typename T::value_type>());
  else
    return value.get<T>();
}

template <class T>
constexpr Field::Type type_of() {
  if constexpr (is_optional<T>)
    return type_of<typename T::value_type>();
  else if constexpr (std::is_same_v<T, bool>)
    return Field::Type::boolean;
  else if constexpr (std::is_same_v<T, double>)
    return Field::Type::real;
  else if constexpr (std::is_integral_v<T>)
    return Field::Type::integer;
  else if constexpr (std::is_same_v<T, std::string>)
    return Field::Type::text;
  else if constexpr (std::is_same_v<T, Json>)
    return Field::Type::count;
  else
    return Field::Type::names;
}

// One line of the list under construction.
struct Line {
  Field field;

  Line range(double min, double max) && {
    field.min = min;
    field.max = max;
    return std::move(*this);
  }
  Line above_up_to(double min, double max) && {
    field.above_min = true;
    return std::move(*this).range(min, max);
  }
  Line bits() && {
    field.numbers = {2, 3, 4, 5, 6, 7, 8, 16};
    return std::move(*this);
  }
  Line one_of(std::vector<std::string> choices) && {
    field.type = Field::Type::choice;
    field.choices = std::move(choices);
    return std::move(*this);
  }
  Line named(PluginKind kind, const Catalog& catalog) && {
    if (field.type == Field::Type::text) field.type = Field::Type::choice;
    field.names_of = kind;
    field.choices = catalog.names(kind);
    // A program without plugins of a kind (a test, a reader of records) still knows the default.
    if (field.choices.empty())
      field.choices = field.fallback.is_array() ? field.fallback.get<std::vector<std::string>>()
                                                : std::vector<std::string>{field.fallback.get<std::string>()};
    return std::move(*this);
  }
  Line text_source(const Catalog& catalog) && {
    field.type = Field::Type::text_source;
    field.names_of = PluginKind::text;
    field.choices = catalog.names(PluginKind::text);
    return std::move(*this);
  }
  Line text_file() && {
    field.type = Field::Type::text_source;  // no known names
    return std::move(*this);
  }
  Line file() && {
    field.type = Field::Type::file;
    field.hashed = false;  // an id does not depend on where files lie
    return std::move(*this);
  }
  Line or_auto() && {
    field.automatic = true;
    return std::move(*this);
  }
  Line how_not_what() && {
    field.hashed = false;  // numbers do not depend on it
    return std::move(*this);
  }
  Line when(Condition condition) && {
    field.when = std::move(condition.words);
    field.matters = std::move(condition.holds);
    return std::move(*this);
  }
  Line says(const char* help) && {
    field.help = help;
    return std::move(*this);
  }
};

template <class Access>
Line line(const char* path, Access access) {
  using T = std::decay_t<decltype(access(std::declval<TrialSpec&>()))>;
  Line l;
  l.field.path = path;
  l.field.type = type_of<T>();
  if (std::is_same_v<T, std::uint64_t>) l.field.min = 0;
  l.field.automatic = is_optional<T>;
  l.field.get = [access](const TrialSpec& t) { return std::optional<Json>(to_value(access(t))); };
  l.field.set = [access](TrialSpec& t, const Json& value) { access(t) = from_value<T>(value); };
  l.field.matters = [](const TrialSpec&) { return true; };
  l.field.fallback = to_value(access(default_trial()));
  return l;
}
// The path in the file is the path in the structs: it stands once.
#define STAMP_FIELD(member) \
  line(                     \
      #member, [](auto& t) -> auto& { return t.member; })

Field::Type type_of(OptionInfo::Type type) {
  switch (type) {
    case OptionInfo::Type::boolean: return Field::Type::boolean;
    case OptionInfo::Type::integer: return Field::Type::integer;
    case OptionInfo::Type::real: return Field::Type::real;
    case OptionInfo::Type::text: return Field::Type::text;
    case OptionInfo::Type::choice: return Field::Type::choice;
    case OptionInfo::Type::count: return Field::Type::count;
  }
  return Field::Type::text;
}

// Where a kind of plugin is chosen and where its options live.
struct Home {
  PluginKind kind;
  std::string section;
  bool own_section;  // options stand under section.<plugin>, as for methods
  const std::string& (*chosen)(const TrialSpec&);
  const Json& (*held)(const TrialSpec&);
  Json& (*options)(TrialSpec&);
  Condition condition;
};

std::vector<Home> homes() {
  return {
      {PluginKind::method,
       "quantization",
       true,
       [](const TrialSpec& t) -> const std::string& { return t.quantization.method; },
       [](const TrialSpec& t) -> const Json& { return t.quantization.method_options; },
       [](TrialSpec& t) -> Json& { return t.quantization.method_options; },
       {"", [](const TrialSpec&) { return true; }}},
      {PluginKind::weight_quantizer, "quantization.weights", false,
       [](const TrialSpec& t) -> const std::string& { return t.quantization.weights.quantizer; },
       [](const TrialSpec& t) -> const Json& { return t.quantization.weights.options; },
       [](TrialSpec& t) -> Json& { return t.quantization.weights.options; }, if_weights()},
      {PluginKind::sequence_transform, "quantization.sequence", false,
       [](const TrialSpec& t) -> const std::string& { return t.quantization.sequence.transform; },
       [](const TrialSpec& t) -> const Json& { return t.quantization.sequence.options; },
       [](TrialSpec& t) -> Json& { return t.quantization.sequence.options; }, if_sequence()},
      {PluginKind::allocator, "quantization.allocation", false,
       [](const TrialSpec& t) -> const std::string& { return t.quantization.allocation.kind; },
       [](const TrialSpec& t) -> const Json& { return t.quantization.allocation.options; },
       [](TrialSpec& t) -> Json& { return t.quantization.allocation.options; }, if_rows()},
  };
}

std::string section_of(const Home& home, const PluginInfo& plugin) {
  return home.own_section ? home.section + "." + plugin.name : home.section;
}

Json canonical_number(const Json& value) {
  return value.is_number_float() ? number_json(value.get<double>()) : value;
}

Field option_field(const Home& home, const PluginInfo& plugin, const OptionInfo& option) {
  Field f;
  f.path = section_of(home, plugin) + "." + option.name;
  f.type = option::is_names(option) ? Field::Type::names : type_of(option.type);
  f.automatic = option.fallback.is_null();
  f.fallback = f.automatic ? Json("auto") : canonical_number(option.fallback);
  f.min = option.min;
  f.max = option.max;
  f.choices = option.choices;
  f.help = option.help;
  f.when = home.condition.words;
  f.owner_kind = home.kind;
  f.owner = plugin.name;
  const auto active = [chosen = home.chosen, owner = plugin.name](const TrialSpec& t) { return chosen(t) == owner; };
  f.get = [active, held_by = home.held, name = option.name,
           fallback = f.fallback](const TrialSpec& t) -> std::optional<Json> {
    if (!active(t)) return std::nullopt;
    const Json& held = held_by(t);
    const auto found = held.find(name);
    if (found == held.end()) return fallback;
    return found->is_null() ? Json("auto") : canonical_number(*found);
  };
  f.set = [options = home.options, name = option.name, automatic = f.automatic](TrialSpec& t, const Json& value) {
    options(t)[name] = automatic && value == "auto" ? Json() : canonical_number(value);
  };
  f.matters = [active, holds = home.condition.holds](const TrialSpec& t) { return active(t) && holds(t); };
  return f;
}

}  // namespace

std::vector<Field> build_fields(const Catalog& catalog) {
  std::vector<Field> fields;
  const auto add = [&](Line&& l) { fields.push_back(std::move(l.field)); };
  const auto add_options = [&](PluginKind kind) {
    for (const Home& home : homes()) {
      if (home.kind != kind) continue;
      for (const PluginInfo& plugin : catalog.list(kind)) {
        for (const OptionInfo& option : plugin.options) fields.push_back(option_field(home, plugin, option));
      }
    }
  };
  constexpr double most = 1 << 20;

  // One line an option, so that the list reads as a table.
  // clang-format off
  add(STAMP_FIELD(model.path).file().says("GGUF file, HF or diffusers folder; ${NAME} is replaced by an environment variable"));
  add(STAMP_FIELD(model.name).says("shown in tables and part of the trial id; empty: the last part of the path"));
  add(STAMP_FIELD(model.streamed).how_not_what().says("true: weights are read from the file one block at a time, for models larger than memory; auto: when the model would not fit; the numbers are the same"));
  add(STAMP_FIELD(model.rows_memory_gb).range(0, 1e6).how_not_what().says("GB of memory for the hidden rows of a streamed trial; what does not fit lies in a scratch file in $TMPDIR or the cache folder"));

  add(STAMP_FIELD(data.text).text_source(catalog).when(if_reads("data", catalog)).says("evaluation text"));
  add(STAMP_FIELD(data.context).range(2, most).when(if_reads("data", catalog)).says("tokens of one window"));
  add(STAMP_FIELD(data.windows).range(0, 1e9).when(if_reads("data", catalog)).says("number of windows from the start of the text; 0: all"));
  add(STAMP_FIELD(data.bos).one_of({"start", "each_window"}).when(if_reads("data", catalog)).says("where the begin-of-sequence token goes, for models that have one"));

  add(STAMP_FIELD(calibration.text).text_source(catalog).when(if_calibrated_on_text(catalog)).says("calibration text"));
  add(STAMP_FIELD(calibration.context).range(2, most).when(if_calibrated_on_text(catalog)).says("tokens of one calibration window"));
  add(STAMP_FIELD(calibration.samples).range(1, 1e6).when(if_calibrated(catalog)).says("number of calibration windows; of models of images, inputs of denoising steps, four from each image made for them"));
  add(STAMP_FIELD(calibration.select).one_of({"random", "head"}).when(if_calibrated_on_text(catalog)).says("random: drawn, fewer are a subset of more; head: the first windows"));
  add(STAMP_FIELD(calibration.seed).when(if_drawn(catalog)).says("seed of the draw"));

  add(STAMP_FIELD(quantization.method).named(PluginKind::method, catalog).says("feature transform and where it is folded"));
  add_options(PluginKind::method);

  add(STAMP_FIELD(quantization.weights.bits).bits().says("bits of the weights of linear layers; 16: off"));
  add(STAMP_FIELD(quantization.weights.quantizer).named(PluginKind::weight_quantizer, catalog).when(if_weights()).says("how weights are rounded"));
  add(STAMP_FIELD(quantization.weights.granularity).one_of({"channel", "group"}).when(if_weights()).says("weights that share a scale: an output channel, or group_size inputs of one"));
  add(STAMP_FIELD(quantization.weights.group_size).range(1, 65536).when(if_weight_groups()).says("input features that share a scale"));
  add(STAMP_FIELD(quantization.weights.symmetric).when(if_weights()).says("symmetric grid (no zero point)"));
  add(STAMP_FIELD(quantization.weights.clip_search).when(if_weights()).says("search the range of every channel or group that rounds best"));
  add_options(PluginKind::weight_quantizer);

  add(STAMP_FIELD(quantization.activations.bits).bits().says("low bits of a transformed token at the input of linear layers; 16: off"));
  add(STAMP_FIELD(quantization.activations.granularity).one_of({"token", "group"}).when(if_activations()).says("values that share a scale: a token, or group_size features of one"));
  add(STAMP_FIELD(quantization.activations.group_size).range(1, 65536).when(if_activation_groups()).says("features that share a scale"));
  add(STAMP_FIELD(quantization.activations.symmetric).when(if_activations()).says("symmetric grid; Theorem 1 then does not hold as published"));
  add(STAMP_FIELD(quantization.activations.clip).above_up_to(0, 1).when(if_activations()).says("factor on the range of every token; below 1, Theorem 1 does not hold"));
  add(STAMP_FIELD(quantization.activations.shift).one_of({"none", "calibrated", "sequence"}).when(if_shifted()).says("what every channel loses before quantizing and gets back in full precision: calibrated: its mean over the calibration items, which a bias of the layer can give back; sequence: its mean over the sequence at hand, which looks ahead"));

  add(STAMP_FIELD(quantization.activations.text).when(if_image_activations(catalog)).says("also quantize the text that cross-attention makes keys and values of: no transform, no rows at high bits"));

  add(STAMP_FIELD(quantization.kv_cache.bits).bits().says("low bits of a row of the key and value caches; 16: off"));
  add(STAMP_FIELD(quantization.kv_cache.granularity).one_of({"head", "token"}).when(if_cache()).says("values that share a scale: a head of a token, or the whole token"));
  add(STAMP_FIELD(quantization.kv_cache.symmetric).when(if_cache()).says("symmetric grid"));
  add(STAMP_FIELD(quantization.kv_cache.clip).above_up_to(0, 1).when(if_cache()).says("factor on the range"));
  add(STAMP_FIELD(quantization.kv_cache.transformed).when(if_cache_transforms()).says("transform caches along the sequence before quantizing (option A); false: token positions as they are (B)"));

  add(STAMP_FIELD(quantization.sequence.transform).named(PluginKind::sequence_transform, catalog).when(if_sequence()).says("orthonormal transform along the sequence"));
  add(STAMP_FIELD(quantization.sequence.skip_first).range(0, most).when(if_skips()).says("first tokens that stay outside the transform, and the mean of a shift (attention sink)"));
  add_options(PluginKind::sequence_transform);

  add(STAMP_FIELD(quantization.allocation.kind).named(PluginKind::allocator, catalog).when(if_rows()).says("how bits go to transformed tokens"));
  add_options(PluginKind::allocator);

  add(STAMP_FIELD(decode.prefill).range(1, most).when(if_decoding()).says("tokens of a window that are the prompt; the rest is decoded token by token"));
  add(STAMP_FIELD(decode.chunk).range(1, most).when(if_cache_decodes()).says("rows of a cache that are transformed, quantized and packed together; until they are complete they stay float32"));
  add(STAMP_FIELD(decode.high_tokens).range(0, most).when(if_chunks_transform()).says("rows of a transformed chunk at allocation.high_bits; s/32: a 32nd of the chunk, one row at least"));
  add(STAMP_FIELD(decode.continuation).one_of({"quantized", "full"}).when(if_rows_decode()).says("activations and cache rows behind the prompt: low bits without transform, or full precision"));

  add(STAMP_FIELD(zero_shot.tasks).named(PluginKind::task, catalog).when(if_reads("zero_shot", catalog)).says("tasks to answer; the order does not matter"));
  add(STAMP_FIELD(zero_shot.items).range(0, 1e9).when(if_reads("zero_shot", catalog)).says("the first so many items of every task; 0: all"));
  add(STAMP_FIELD(zero_shot.data).file().or_auto().when(if_reads("zero_shot", catalog)).says("folder with task files of your own, or one file where one task is asked for; auto: the known folders"));
  add(STAMP_FIELD(zero_shot.bos).one_of({"none", "auto", "start"}).when(if_reads("zero_shot", catalog)).says("begin-of-sequence token before every context: none, as in the tables of QuaRot and FlatQuant; auto: what the tokenizer does by default; start: always"));
  add(STAMP_FIELD(zero_shot.rule).one_of({"leak_free", "prefill"}).when(if_reads("zero_shot", catalog)).says("leak_free: contexts are transformed along the sequence, continuations are not; prefill: both together, so that scored tokens can be seen ahead"));
  add(STAMP_FIELD(zero_shot.batch_rows).range(1, most).when(if_reads("zero_shot", catalog)).says("rows of several questions that go through the network together"));

  add(STAMP_FIELD(images.prompts).text_file().or_auto().when(if_reads("images", catalog)).says("UTF-8 file with a prompt a line, or NAME<tab>PROMPT; auto: every class in turn, or the prompts shipped with the program"));
  add(STAMP_FIELD(images.count).range(1, 1e6).when(if_reads("images", catalog)).says("number of images"));
  add(STAMP_FIELD(images.traced).range(1, 1e6).when(if_reads("images", catalog)).says("of the first so many images every denoising step of the full-precision model is an input that slots and noise_sqnr are measured on"));
  add(STAMP_FIELD(images.steps).range(1, 1000).when(if_reads("images", catalog)).says("denoising steps; auto: the pipeline's default"));
  add(STAMP_FIELD(images.guidance).range(0, 1000).when(if_reads("images", catalog)).says("classifier-free guidance scale; 1 and below: none; auto: the pipeline's default"));
  add(STAMP_FIELD(images.height).range(1, 65536).when(if_reads("images", catalog)).says("pixels; auto: what the model was trained for"));
  add(STAMP_FIELD(images.width).range(1, 65536).when(if_reads("images", catalog)).says("pixels; auto: what the model was trained for"));
  add(STAMP_FIELD(images.negative_prompt).when(if_reads("images", catalog)).says("what guidance leads away from, for models of text"));
  add(STAMP_FIELD(images.seed).when(if_reads("images", catalog)).says("added to every image's own seed, which is the hash of its name"));
  add(STAMP_FIELD(images.saved).range(0, 1e6).how_not_what().when(if_reads("images", catalog)).says("of the first so many images a PNG file is kept in the run folder"));
  add(STAMP_FIELD(images.classifier).file().or_auto().when(if_reads("images", catalog)).says("folder of the classifier that class_accuracy asks; auto: `classifier` beside the denoiser"));
  add(STAMP_FIELD(images.clip).file().or_auto().when(if_reads("images", catalog)).says("folder of the CLIP model that clip_score asks; auto: $STAMP_CLIP"));
  add(STAMP_FIELD(images.lpips).file().or_auto().when(if_evaluates("lpips")).says("folder of the network that lpips asks; auto: $STAMP_LPIPS"));
  add(STAMP_FIELD(images.image_reward).file().or_auto().when(if_evaluates("image_reward")).says("folder of the model that image_reward asks; auto: $STAMP_IMAGE_REWARD"));

  add(STAMP_FIELD(evaluate).named(PluginKind::metric, catalog).says("metrics to compute; the order does not matter"));
  // clang-format on
  return fields;
}

std::vector<std::string> plugin_sections(const Catalog& catalog) {
  std::vector<std::string> sections;
  for (const Home& home : homes()) {
    if (!home.own_section) continue;
    for (const PluginInfo& plugin : catalog.list(home.kind)) sections.push_back(section_of(home, plugin));
  }
  return sections;
}

}  // namespace stamp
