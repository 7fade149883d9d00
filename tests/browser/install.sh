#!/bin/sh
# Makes sure that there is a browser for the report's tests: does nothing when one is found, installs Debian's as root,
# and else says what to install.
set -eu

for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
  if [ -n "$name" ] && command -v "$name" >/dev/null; then exit 0; fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing chromium, in which the report is tested ..."
  apt-get update -qq
  if DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; then exit 0; fi
fi
echo "The report's tests need Chromium or Chrome, and there is none. Install it (Debian and Ubuntu: apt-get install" >&2
echo "chromium; macOS: brew install --cask chromium), or set CHROMIUM to its path." >&2
exit 1
