import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.codelibs.opensearch.runner.node.OpenSearchRunnerNode;
import org.opensearch.common.settings.Settings;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.plugins.Plugin;

/** One OpenSearch node of the settings given as `name=value`; it ends with its standard input. */
public class Launcher {
  private static final String[] MODULES = {
    "org.opensearch.transport.Netty4ModulePlugin",
    "org.opensearch.geo.GeoModulePlugin",
    "org.opensearch.analysis.common.CommonAnalysisModulePlugin",
    "org.opensearch.painless.PainlessModulePlugin",
    "org.opensearch.index.mapper.MapperExtrasModulePlugin",
    "org.opensearch.index.reindex.ReindexModulePlugin",
  };

  public static void main(String[] args) throws Exception {
    endWithInput();
    Settings.Builder settings = Settings.builder();
    for (String arg : args) {
      int at = arg.indexOf('=');
      settings.put(arg.substring(0, at), arg.substring(at + 1));
    }
    Map<String, String> none = new HashMap<>();
    var environment =
        InternalSettingsPreparer.prepareEnvironment(
            settings.build(), none, Path.of(settings.get("path.home"), "config"), () -> "taxiflow-tests");
    List<Class<? extends Plugin>> modules = new ArrayList<>();
    for (String module : MODULES) load(module).ifPresent(modules::add);
    new OpenSearchRunnerNode(environment, Collections.unmodifiableList(modules)).start();
    Thread.currentThread().join();
  }

  /** OpenSearch 2 and Elasticsearch name them without "Module"; what is in a server's core is none there. */
  private static Optional<Class<? extends Plugin>> load(String module) {
    for (String name : List.of(module, module.replace("ModulePlugin", "Plugin"))) {
      try {
        return Optional.of(Class.forName(name).asSubclass(Plugin.class));
      } catch (ClassNotFoundException other) {
        // Then by its next name.
      }
    }
    return Optional.empty();
  }

  /** Whoever started this holds the other end; when it is gone, however it went, nobody needs the node. */
  private static void endWithInput() {
    Thread thread =
        new Thread(
            () -> {
              try {
                while (System.in.read() >= 0) {}
              } catch (java.io.IOException closed) {
                // As good as its end.
              }
              Runtime.getRuntime().halt(0);
            });
    thread.setDaemon(true);
    thread.start();
  }
}
