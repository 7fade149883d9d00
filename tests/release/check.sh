#!/usr/bin/env bash
# Makes dist/: both sdists and wheels, an SBOM and SHA256SUMS, after trying them in a fresh environment.
# `make release-check` runs all of it, `make sbom` (check.sh sbom) only what the SBOM needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
only="${1:-all}"
python="$PWD/.venv/bin/python" tools="$PWD/.venv/tools/bin" fresh="$PWD/dist/fresh" config="$PWD/examples/plain_dit.yaml"
lesa() { (cd "$fresh" && bin/python -I bin/lesa "$@"); }
install() { "$python" -m pip --python "$fresh/bin/python" install --quiet -c constraints.txt "$@"; }

echo "== building"
rm -rf dist
for folder in . plugins/lesa_reference; do "$python" -m build --no-isolation --outdir dist "$folder" | tail -1; done
first="$(echo dist/lesa_framework-*.whl)" second="$(echo dist/lesa_framework_reference-*.whl)"
[ "$(wc -c < "$first")" -lt 1500000 ] || { echo "$first is larger than 1.5 MB"; exit 1; }
"$tools/twine" check --strict dist/*

echo "== a fresh environment with the first wheel alone"
"${PYTHON:-python3}" -m venv --without-pip "$fresh"
install "$first"
if [ "$only" = all ]; then
  lesa --version
  lesa plan --config "$config" --steps 10
  lesa plugins --section predictor
  # It must refuse, in one line that names the second wheel.
  if lesa demo 2> "$fresh/demo.txt"; then echo "lesa demo ran without the bundled models"; exit 1; fi
  grep 'pip install "lesa-framework\[reference\]"' "$fresh/demo.txt"
fi

echo "== every extra"
install "$first[all,bench,metrics,ui]" "$second"
# Once more by name, so that nothing records where on this machine the wheels were.
install --force-reinstall --no-deps --no-index --find-links dist lesa-framework lesa-framework-reference
if [ "$only" = all ]; then lesa generate "a red ring on blue" --config ref-flux-fitted-nfe10 --out ring.png; fi

echo "== SBOM and sums"
"$tools/cyclonedx-py" environment --output-reproducible --of JSON --pyproject pyproject.toml \
  --mc-type library -o dist/sbom.cdx.json "$fresh/bin/python"
if grep -n "$PWD\|file://" dist/sbom.cdx.json; then echo "the SBOM names a folder of this machine"; exit 1; fi
rm -rf "$fresh"
(cd dist && sha256sum -- *.whl *.tar.gz *.json > SHA256SUMS && cat SHA256SUMS)
