//! The one block that clients before version 3 need to retry a flow: it says where results are
//! stored.

use serde_json::{Value, json};

use super::{NOBODY, id_of, start};
use crate::fixture::TestApp;

async fn block_type(app: &TestApp) -> Value {
    let body = json!({"slug": "local-file-system", "name": "Local File System"});
    app.post("/api/block_types/", &body).await.expect(201).json()
}

async fn schema(app: &TestApp, block_type: &Value) -> Value {
    let body = json!({"block_type_id": block_type["id"], "fields": {"basepath": "string"}});
    app.post("/api/block_schemas/", &body).await.expect(201).json()
}

#[tokio::test]
async fn the_block_is_recorded_once_and_read_with_its_type_and_schema() {
    let app = start();
    let block_type = block_type(&app).await;
    let schema = schema(&app, &block_type).await;
    let body = json!({
        "is_anonymous": true,
        "block_type_id": block_type["id"],
        "block_schema_id": schema["id"],
        "data": {"basepath": "/tmp/results"},
    });
    let block = app.post("/api/block_documents/", &body).await.expect(201).json();
    assert_eq!((&block["block_type"], &block["block_schema"]), (&block_type, &schema));
    let again = app.post("/api/block_documents/", &body).await.expect(201).json();
    assert_eq!(again, block);
    let path = format!("/api/block_documents/{}", id_of(&block));
    assert_eq!(app.get(&path).await.expect(200).json(), block);
}

#[tokio::test]
async fn the_block_type_is_found_by_its_slug_and_its_logo_may_change() {
    let app = start();
    let path = "/api/block_types/slug/local-file-system";
    app.get(path).await.expect(404);
    let block_type = block_type(&app).await;
    assert_eq!(app.get(path).await.expect(200).json(), block_type);
    app.get("/api/block_types/slug/secret").await.expect(404);
    let path = format!("/api/block_types/{}", id_of(&block_type));
    app.patch(&path, &json!({"logo_url": "x"})).await.expect(204);
    app.patch(&format!("/api/block_types/{NOBODY}"), &json!({})).await.expect(404);
}

#[tokio::test]
async fn other_blocks_are_not_served_and_nothing_is_recorded_of_them() {
    let app = start();
    let secret = json!({"slug": "secret", "name": "Secret"});
    let answer = app.post("/api/block_types/", &secret).await.expect(404);
    assert!(answer.detail().starts_with("Leasehold keeps no blocks"), "{}", answer.text());
    let named = json!({"name": "my-bucket", "data": {}});
    app.post("/api/block_documents/", &named).await.expect(404);
    let dangling = json!({"is_anonymous": true, "block_type_id": NOBODY, "data": {}});
    app.post("/api/block_documents/", &dangling).await.expect(409);
    app.post("/api/block_schemas/", &json!({"block_type_id": NOBODY})).await.expect(409);
    let answer = app.post("/api/block_documents/", &json!([])).await.expect(422);
    assert_eq!(answer.detail(), "A block must be an object.");
    app.get("/api/block_schemas/checksum/sha256:00").await.expect(404);
    let unknown = app.get(&format!("/api/block_documents/{NOBODY}")).await.expect(404);
    assert_eq!(unknown.detail(), "Block not found");
}
