// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISalt} from "./interfaces/ISalt.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title Salt
/// @notice SALT as an ERC-20, for chains whose coin is another. {ISalt} is the documentation.
contract Salt is ISalt, ERC20Permit {
    /// @inheritdoc ISalt
    bytes32 public constant TRANSFER_WITH_AUTHORIZATION_TYPEHASH = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );

    /// @inheritdoc ISalt
    bytes32 public constant RECEIVE_WITH_AUTHORIZATION_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );

    /// @inheritdoc ISalt
    bytes32 public constant CANCEL_AUTHORIZATION_TYPEHASH =
        keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");

    mapping(address authorizer => mapping(bytes32 nonce => bool spent)) private authorizationStates;

    /// @param holder Who gets the whole supply.
    /// @param supply How much that is, in base units. It never changes.
    constructor(address holder, uint256 supply) ERC20("Salt", "SALT") ERC20Permit("Salt") {
        _mint(holder, supply);
    }

    /// @inheritdoc ISalt
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        requireUsable(from, nonce, validAfter, validBefore);
        bytes32 digest = digestOf(TRANSFER_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce);
        require(isSignedBy(from, digest, v, r, s), "Salt: invalid signature");
        execute(from, to, value, nonce);
    }

    /// @inheritdoc ISalt
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        requireUsable(from, nonce, validAfter, validBefore);
        bytes32 digest = digestOf(TRANSFER_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce);
        require(isSignedBy(from, digest, signature), "Salt: invalid signature");
        execute(from, to, value, nonce);
    }

    /// @inheritdoc ISalt
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        require(to == msg.sender, "Salt: caller is not the payee");
        requireUsable(from, nonce, validAfter, validBefore);
        bytes32 digest = digestOf(RECEIVE_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce);
        require(isSignedBy(from, digest, v, r, s), "Salt: invalid signature");
        execute(from, to, value, nonce);
    }

    /// @inheritdoc ISalt
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        require(to == msg.sender, "Salt: caller is not the payee");
        requireUsable(from, nonce, validAfter, validBefore);
        bytes32 digest = digestOf(RECEIVE_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce);
        require(isSignedBy(from, digest, signature), "Salt: invalid signature");
        execute(from, to, value, nonce);
    }

    /// @inheritdoc ISalt
    function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external {
        requireUnspent(authorizer, nonce);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(CANCEL_AUTHORIZATION_TYPEHASH, authorizer, nonce)));
        require(isSignedBy(authorizer, digest, v, r, s), "Salt: invalid signature");
        authorizationStates[authorizer][nonce] = true;
        emit AuthorizationCanceled(authorizer, nonce);
    }

    /// @inheritdoc ISalt
    function cancelAuthorization(address authorizer, bytes32 nonce, bytes calldata signature) external {
        requireUnspent(authorizer, nonce);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(CANCEL_AUTHORIZATION_TYPEHASH, authorizer, nonce)));
        require(isSignedBy(authorizer, digest, signature), "Salt: invalid signature");
        authorizationStates[authorizer][nonce] = true;
        emit AuthorizationCanceled(authorizer, nonce);
    }

    /// @inheritdoc ISalt
    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool) {
        return authorizationStates[authorizer][nonce];
    }

    /// @inheritdoc ISalt
    function version() external view returns (string memory) {
        return _EIP712Version();
    }

    /// @dev The balance is asked for its text; the transfer would refuse as well.
    function execute(address from, address to, uint256 value, bytes32 nonce) private {
        require(balanceOf(from) >= value, "Salt: transfer amount exceeds balance");
        authorizationStates[from][nonce] = true;
        emit AuthorizationUsed(from, nonce);
        _transfer(from, to, value);
    }

    function digestOf(
        bytes32 typeHash,
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce
    ) private view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(typeHash, from, to, value, validAfter, validBefore, nonce)));
    }

    /// @dev The times are those of ERC-3009; a block producer can move them by seconds, and gains nothing by it.
    // forge-lint: disable-next-item(block-timestamp)
    function requireUsable(address authorizer, bytes32 nonce, uint256 validAfter, uint256 validBefore) private view {
        require(block.timestamp > validAfter, "Salt: authorization is not yet valid");
        require(block.timestamp < validBefore, "Salt: authorization is expired");
        requireUnspent(authorizer, nonce);
    }

    function requireUnspent(address authorizer, bytes32 nonce) private view {
        require(!authorizationStates[authorizer][nonce], "Salt: authorization is used or canceled");
    }

    /// @dev OpenZeppelin's recovery refuses a high s, a v other than 27 and 28, and the zero signer.
    function isSignedBy(address authorizer, bytes32 digest, uint8 v, bytes32 r, bytes32 s) private view returns (bool) {
        // The third value only details the error.
        // slither-disable-next-line unused-return
        (address signer, ECDSA.RecoverError err,) = ECDSA.tryRecover(digest, v, r, s);
        if (err == ECDSA.RecoverError.NoError && signer == authorizer) return true;
        return isAcceptedBy(authorizer, digest, abi.encodePacked(r, s, v));
    }

    function isSignedBy(address authorizer, bytes32 digest, bytes calldata signature) private view returns (bool) {
        // The third value only details the error.
        // slither-disable-next-line unused-return
        (address signer, ECDSA.RecoverError err,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (err == ECDSA.RecoverError.NoError && signer == authorizer) return true;
        return isAcceptedBy(authorizer, digest, signature);
    }

    function isAcceptedBy(address authorizer, bytes32 digest, bytes memory signature) private view returns (bool) {
        return authorizer.code.length > 0 && SignatureChecker.isValidERC1271SignatureNow(authorizer, digest, signature);
    }
}
