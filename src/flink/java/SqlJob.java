import java.io.InputStream;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Runs the statements of job.sql, which lies beside it in its jar: what Amazon Managed Service for Apache Flink starts. It
 * finds Flink's Table API when it runs, so that no jar of Flink is needed to compile it.
 */
public final class SqlJob {
  private static final String SEPARATOR = "\n-- next statement\n";

  private SqlJob() {}

  public static void main(String[] arguments) throws Exception {
    Class<?> settingsClass = Class.forName("org.apache.flink.table.api.EnvironmentSettings");
    Class<?> environmentClass = Class.forName("org.apache.flink.table.api.TableEnvironment");
    Object settings = settingsClass.getMethod("inStreamingMode").invoke(null);
    Object environment = environmentClass.getMethod("create", settingsClass).invoke(null, settings);
    Object configuration = environmentClass.getMethod("getConfig").invoke(environment);
    Method set = configuration.getClass().getMethod("set", String.class, String.class);
    Method execute = environmentClass.getMethod("executeSql", String.class);
    for (String statement : statements()) {
      if (statement.startsWith("SET ")) {
        String[] parts = statement.split("'", -1);
        set.invoke(configuration, parts[1], parts[3]);
      } else {
        execute.invoke(environment, statement);
      }
    }
  }

  private static List<String> statements() throws Exception {
    try (InputStream input = SqlJob.class.getResourceAsStream("/job.sql")) {
      if (input == null) throw new IllegalStateException("job.sql is missing in the jar");
      List<String> found = new ArrayList<>();
      for (String part : new String(input.readAllBytes(), StandardCharsets.UTF_8).split(SEPARATOR))
        if (!part.isBlank()) found.add(part.strip());
      return found;
    }
  }
}
