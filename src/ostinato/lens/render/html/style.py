"""The style of a page: light and dark by the reader's setting, one column on a phone, black on white on paper."""

_LIGHT = """
--ink: #000000; --paper: #ffffff; --back: #ffffff; --soft: #f3f5f7; --line: #b9c0c7; --dim: #4a525a; --mark: #b34700;
--grid: #e6e6e6; --tint: #e8f0f7; --red: #d55e00; --blue: #0072b2; --green: #009e73; --pink: #b85c90; --sky: #2f93cf;
--ochre: #8b6c00; --grey: #595959; --bar: #b8b8b8; --rule: #bfbfbf; --band: #cccccc;
"""
_DARK = """
--ink: #e8eaed; --paper: #15181b; --back: #15181b; --soft: #20252a; --line: #4c555e; --dim: #aab3bc; --mark: #ffa366;
--grid: #2c3238; --tint: #1f3342; --red: #ff8a3d; --blue: #59b0ea; --green: #3ccb9f; --pink: #e59cc4; --sky: #8fd0f7;
--ochre: #d6b545; --grey: #a8b0b8; --bar: #59626b; --rule: #59626b; --band: #3d454d;
"""

STYLE = (
    ":root { color-scheme: light dark;" + _LIGHT + "}\n"
    "@media screen and (prefers-color-scheme: dark) { :root {" + _DARK + "} }\n"
    """
* { box-sizing: border-box; }
html { background: var(--back); color: var(--ink); font: 100%/1.5 system-ui, "DejaVu Sans", Verdana, sans-serif; }
body { max-width: 76rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0.5rem 0; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 2.5rem 0 0.75rem; border-top: 2px solid var(--ink);
  padding-top: 0.5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 0.5rem; }
p, li { max-width: 46rem; }
a { color: var(--blue); }
.lead { color: var(--dim); margin: 0 0 1rem; }
ol.findings { list-style: none; padding: 0; }
ol.findings li { border-left: 0.35rem solid var(--mark); background: var(--soft); padding: 0.6rem 0.9rem;
  margin: 0 0 0.75rem; max-width: 60rem; }
ol.findings strong { display: block; font-size: 0.8rem; letter-spacing: 0.04em; text-transform: uppercase;
  color: var(--mark); }
ol.findings small, .lead small { color: var(--dim); display: block; }
.well { border-left: 0.35rem solid var(--green); background: var(--soft); padding: 0.6rem 0.9rem; max-width: 60rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1rem 1.5rem; }
figure { margin: 0; break-inside: avoid; }
figure.picture svg { display: block; max-width: 100%; height: auto; stroke-linejoin: round; stroke-linecap: butt;
  fill: var(--ink); }
figcaption { color: var(--dim); font-size: 0.875rem; max-width: 46rem; margin-top: 0.25rem; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 10.5rem), 1fr)); gap: 0.25rem 1.5rem;
  margin: 0.75rem 0; }
dl div { border-bottom: 1px solid var(--line); padding: 0.15rem 0; }
dt { color: var(--dim); font-size: 0.8125rem; }
dd { margin: 0; }
.wide { overflow-x: auto; margin: 0.75rem 0; }
.wide:focus-visible, summary:focus-visible, a:focus-visible { outline: 3px solid var(--blue); outline-offset: 2px; }
table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
caption { text-align: left; font-weight: 600; padding: 0.25rem 0; }
th, td { padding: 0.25rem 0.75rem 0.25rem 0; text-align: right; vertical-align: top;
  border-bottom: 1px solid var(--line); }
thead th { vertical-align: bottom; border-bottom: 2px solid var(--ink); min-width: 5rem; }
th[scope="row"], thead th:first-child, .word { text-align: left; }
th[scope="row"] { font-weight: 600; }
.word { max-width: 20rem; overflow-wrap: break-word; }
details { border: 1px solid var(--line); border-radius: 0.25rem; padding: 0 0.75rem; margin: 0.5rem 0; }
summary { cursor: pointer; padding: 0.5rem 0; font-weight: 600; }
footer { color: var(--dim); font-size: 0.875rem; margin-top: 2.5rem; border-top: 1px solid var(--line); }
@media print {
  body { max-width: none; padding: 0; }
  html { font-size: 75%; }
  h2, h3, caption { break-after: avoid; }
  tr, li { break-inside: avoid; }
  .pictures { grid-template-columns: 1fr 1fr; }
  .wide { overflow: visible; }
  figure.picture svg { min-width: 0 !important; }
  ol.findings li, .well { background: none; border: 1px solid var(--ink); border-left-width: 0.35rem; }
}
"""
)
