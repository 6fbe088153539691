{
  # A shim: the build is CMake's. `node-gyp rebuild` runs it through the bootstrap; npm never does ("gypfile": false).
  "targets": [
    {
      "target_name": "albert_ner",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake_build",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["build/Release/albert_ner.node"],
          "action": ["node", "scripts/bootstrap.js", "--only", "native"]
        }
      ]
    }
  ]
}
