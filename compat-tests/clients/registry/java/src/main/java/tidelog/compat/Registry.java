package tidelog.compat;

import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.Callable;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.avro.AvroSchema;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.CachedSchemaRegistryClient;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.entities.SchemaReference;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.exceptions.RestClientException;
import org.apache.flink.avro.shaded.org.apache.avro.Schema;
import org.apache.flink.avro.shaded.org.apache.avro.generic.GenericData;
import org.apache.flink.avro.shaded.org.apache.avro.generic.GenericRecord;
import org.apache.flink.formats.avro.registry.confluent.ConfluentRegistryAvroDeserializationSchema;
import org.apache.flink.formats.avro.registry.confluent.ConfluentRegistryAvroSerializationSchema;

/** Confluent's Java client and Flink's serde over it: BOOTSTRAP api REGISTRY. Prints JSON lines. */
public final class Registry {
    private static final String FIRST =
            "{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"shop\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"}]}";
    private static final String SECOND = FIRST.replace(
            "}]}", "},{\"name\":\"b\",\"type\":[\"null\",\"string\"],\"default\":null}]}");
    private static final String BROKEN = FIRST.replace("\"a\"", "\"c\"");

    private final String url;
    private final String subject = "java/" + UUID.randomUUID();

    private Registry(String url) {
        this.url = url;
    }

    public static void main(String[] arguments) {
        try {
            Registry registry = new Registry("http://" + arguments[2]);
            registry.client();
            registry.serde();
            System.out.println("{\"passed\": true}");
        } catch (Throwable failure) {
            failure.printStackTrace();
            System.out.println("{\"passed\": false}");
            System.exit(1);
        }
    }

    private CachedSchemaRegistryClient fresh() {
        return new CachedSchemaRegistryClient(url, 100);
    }

    private void client() throws Exception {
        CachedSchemaRegistryClient client = fresh();
        int first = client.register(subject, new AvroSchema(FIRST));
        int second = client.register(subject, new AvroSchema(SECOND));
        check("again", fresh().register(subject, new AvroSchema(FIRST)), first);
        check("elsewhere", fresh().register(subject + "2", new AvroSchema(FIRST)), first);
        check("by id", fresh().getSchemaById(second).canonicalString(), new AvroSchema(SECOND).canonicalString());
        check("versions", client.getAllVersions(subject), List.of(1, 2));
        check("latest", client.getLatestSchemaMetadata(subject).getId(), second);
        check("version", client.getVersion(subject, new AvroSchema(SECOND)), 2);
        check("id", client.getId(subject, new AvroSchema(FIRST)), first);
        check("subjects", client.getAllSubjectsById(first).contains(subject + "2"), true);
        check("fits not", client.testCompatibility(subject, new AvroSchema(BROKEN)), false);
        check("reasons", client.testCompatibilityVerbose(subject, new AvroSchema(BROKEN)).isEmpty(), false);
        refused(409, () -> client.register(subject, new AvroSchema(BROKEN)));
        refused(40401, () -> fresh().getAllVersions("none"));
        refused(40403, () -> fresh().getSchemaById(999_999));
        client.updateCompatibility(subject, "FULL");
        check("level", client.getCompatibility(subject), "FULL");
        check("mode", client.getMode(), "READWRITE");

        SchemaReference reference = new SchemaReference("shop.R", subject, 1);
        AvroSchema user = new AvroSchema(
                "[\"null\",\"shop.R\"]", List.of(reference), Map.of("shop.R", FIRST), null);
        int userId = client.register(subject + "-user", user);
        check("resolved", fresh().getSchemaById(userId).references(), List.of(reference));
        refused(42206, () -> client.deleteSchemaVersion(subject, "1"));
        client.deleteSubject(subject + "-user");
        client.deleteSubject(subject + "-user", true);
        check("deleted", client.deleteSubject(subject), List.of(1, 2));
        check("for good", client.deleteSubject(subject, true), List.of(1, 2));
    }

    private void serde() throws Exception {
        Schema schema = new Schema.Parser().parse(SECOND);
        GenericRecord record = new GenericData.Record(schema);
        record.put("a", 7);
        record.put("b", "ü");
        String topic = "serde-" + UUID.randomUUID() + "-value";
        byte[] value = ConfluentRegistryAvroSerializationSchema.forGeneric(topic, schema, url).serialize(record);
        check("magic", value[0], (byte) 0);
        GenericRecord read =
                ConfluentRegistryAvroDeserializationSchema.forGeneric(schema, url).deserialize(value);
        check("read", read.toString(), record.toString());
    }

    private static void check(String what, Object found, Object expected) {
        if (!Objects.equals(found, expected)) {
            throw new AssertionError(what + ": " + found + " is not " + expected);
        }
    }

    private static void refused(int code, Callable<?> call) throws Exception {
        try {
            Object answer = call.call();
            throw new AssertionError("answered " + answer + " and not " + code);
        } catch (RestClientException error) {
            check(error.getMessage(), error.getErrorCode(), code);
        }
    }
}
