using Workerd = import "/workerd/workerd.capnp";

# As old as it goes: no FinalizationRegistry, no `navigator`, no streams that a script makes.
const config :Workerd.Config = (
  services = [
    (name = "worker", worker = (
      modules = [
        (name = "worker.js", esModule = embed "worker.js"),
        (name = "millrace.js", esModule = embed "node_modules/millrace/dist/index.js"),
        # And its chunks, which a bundler would find by itself.
      ],
      compatibilityDate = "2021-11-03",
    )),
    (name = "internet", network = (allow = ["private", "local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "worker")],
);
